package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// restoreCommand makes a new app out of another one's backups.
func (o *options) restoreCommand() *cobra.Command {
	text, latest := "", false
	command := &cobra.Command{
		Use:   "restore SOURCE NEWNAME --time=RFC3339|--latest",
		Short: "Make a new app with the database of another one as it was at a time",
		Long: `Make a new app with the database of another one as it was at a time.

The new app has the spec of SOURCE, with database.postgres.restore set; SOURCE is only read. What differs is
said: no pod of the app and no migration runs on the copy, and no host name leads to it, until you have looked at
the data.

All commits before the time are there and none after it. The times that can be had are in
status.database.backup, from restorableFrom to archivedTime; a later one that has passed is waited for.

With -o yaml --dry-run=client nothing is made, and what would be is printed.`,
		Example: `  kubectl scalableapp restore shop shop-restored --time=2026-11-28T07:45:00Z
  kubectl scalableapp restore shop shop-restored --latest -o yaml --dry-run=client`,
		Args: func(command *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("%s takes the name of the app to restore and one for the new app; usage: %s", command.CommandPath(), command.UseLine())
			}
			return nil
		},
	}
	w := o.writes(command, "created")
	command.Flags().StringVar(&text, "time", "", "The time to restore to, for example 2026-11-28T07:45:00Z.")
	command.Flags().BoolVar(&latest, "latest", false, "All that was archived.")
	command.RunE = func(command *cobra.Command, args []string) error {
		to, err := restoreTime(text, latest)
		if err != nil {
			return err
		}
		return w.restore(command.Context(), args[0], args[1], to)
	}
	return command
}

// restoreTime is the time that the flags say; nil is all that was archived.
func restoreTime(text string, latest bool) (*metav1.Time, error) {
	switch {
	case text != "" && latest:
		return nil, errors.New("--time and --latest exclude each other")
	case latest:
		return nil, nil
	case text == "":
		return nil, errors.New("say to which time: --time=2026-11-28T07:45:00Z, or --latest for all that was archived")
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, fmt.Errorf("--time=%s is no time such as 2026-11-28T07:45:00Z or 2026-11-28T08:45:00+01:00", text)
	}
	to := metav1.NewTime(at.UTC().Truncate(time.Second))
	return &to, nil
}

// restore makes the one write: the new app.
func (w *writer) restore(ctx context.Context, from, name string, to *metav1.Time) error {
	s, err := w.o.connect()
	if err != nil {
		return err
	}
	printer, _, err := w.prepare()
	if err != nil {
		return err
	}
	source, err := s.app(ctx, from)
	if err != nil {
		return err
	}
	if err := canRestore(source, to, time.Now()); err != nil {
		return err
	}
	if err := s.nameIsFree(ctx, name); err != nil {
		return err
	}
	made, said := restored(source, name, to)
	if w.dryRun != "client" {
		options := []client.CreateOption{client.FieldOwner(fieldManager)}
		if w.dryRun == "server" {
			options = append(options, client.DryRunAll)
		}
		if err := s.Create(ctx, made, options...); err != nil {
			return err
		}
	}
	return w.say(printer, made, said)
}

// canRestore refuses what the operator would refuse, before anything is written.
func canRestore(source *v1alpha1.ScalableApp, to *metav1.Time, now time.Time) error {
	if err := hasBackups(source); err != nil {
		return err
	}
	var have v1alpha1.BackupStatus
	if source.Status.Database != nil && source.Status.Database.Backup != nil {
		have = *source.Status.Database.Backup
	}
	if have.RestorableFrom == nil || have.ArchivedTime == nil {
		return fmt.Errorf("%s has no backup yet that can be restored; see its condition BackupReady", source.Name)
	}
	window := fmt.Sprintf("%s can be restored to times from %s to %s", source.Name, instant(have.RestorableFrom), instant(have.ArchivedTime))
	switch {
	case to == nil:
	case to.Time.Before(have.RestorableFrom.Time):
		return fmt.Errorf("%s, not to %s", window, instant(to))
	case to.After(now):
		return fmt.Errorf("%s; %s is in the future", window, instant(to))
	}
	return nil
}

func instant(at *metav1.Time) string { return at.UTC().Format(time.RFC3339) }

// nameIsFree refuses a name that an app has, or that one had whose database was kept: the new app would take
// that up, and restore nothing.
func (s *session) nameIsFree(ctx context.Context, name string) error {
	app := &v1alpha1.ScalableApp{}
	err := s.Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: name}, app)
	switch {
	case err == nil:
		return fmt.Errorf("there is a ScalableApp %s already, and a live database cannot be restored over; choose another name", name)
	case !apierrors.IsNotFound(err):
		return err
	}
	app.Name = name
	list := &corev1.PersistentVolumeClaimList{}
	err = s.List(ctx, list, client.InNamespace(s.namespace))
	if apierrors.IsForbidden(err) {
		return nil // whoever may not look is told by the operator
	}
	if err != nil {
		return err
	}
	claims := make([]*corev1.PersistentVolumeClaim, len(list.Items))
	for i := range list.Items {
		claims[i] = &list.Items[i]
	}
	if kept := components.VolumesOf(claims, naming.Database(app)); len(kept) > 0 {
		return fmt.Errorf("there is a volume claim %s, of an earlier app %s: the new one would take up its data and restore nothing; "+
			"choose another name, or delete the claim", kept[0].Name, name)
	}
	return nil
}

// restored is the new app, and in words what of it is not as in the source.
func restored(source *v1alpha1.ScalableApp, name string, to *metav1.Time) (*v1alpha1.ScalableApp, string) {
	made := &v1alpha1.ScalableApp{ObjectMeta: metav1.ObjectMeta{Namespace: source.Namespace, Name: name}, Spec: *source.Spec.DeepCopy()}
	made.Spec.Database.Postgres.Restore = &v1alpha1.RestoreSpec{FromApp: source.Name, Time: to}
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	have := source.Status.Database.Backup
	switch {
	case to == nil:
		say("It gets all that %s has archived, at present up to %s.", source.Name, instant(have.ArchivedTime))
	case to.After(have.ArchivedTime.Time):
		say("It gets the database of %s as it was at %s; the log is archived up to %s, the rest is waited for.", source.Name, instant(to), instant(have.ArchivedTime))
	default:
		say("It gets the database of %s as it was at %s.", source.Name, instant(to))
	}
	say("Its spec is that of %s, but for this:", source.Name)
	replicas := int32(1)
	if source.Spec.App.Replicas != nil {
		replicas = *source.Spec.App.Replicas
	}
	made.Spec.App.Replicas = new(int32(0))
	say("- no pod of the app runs: look at the data (kubectl scalableapp psql %s), then kubectl scale scalableapp %s --replicas=%d", name, name, max(replicas, 1))
	if migration := source.Spec.App.Migration; migration != nil {
		made.Spec.App.Migration = nil
		say("- it has no app.migration, which would change the copy before you have looked. Put it back before the pods come, and wait for it:\n"+
			"    kubectl patch scalableapp %s --type=merge -p %s", name, quoted(map[string]any{"spec": map[string]any{"app": map[string]any{"migration": migration}}}))
	}
	if gateway := source.Spec.Traffic.Gateway; gateway != nil {
		made.Spec.Traffic.Gateway = nil
		hosts := "all host names of its Gateway"
		if len(gateway.Hostnames) > 0 {
			hosts = strings.Join(gateway.Hostnames, ", ")
		}
		say("- it has no spec.traffic.gateway: %s is led to by %s. To swap the apps, take it from one and give it to the other", source.Name, hosts)
	}
	if made.Spec.Paused = nil; isPaused(source) {
		say("- it is not paused")
	}
	say("Labels and annotations are not copied. Sessions and cache that the operator runs begin empty; its backups are its own.")
	if shared := sharedWith(source); shared != "" {
		say("Both have the same %s: what is in there is not restored.", shared)
	}
	if from := undone(source); from != "" {
		say("The spec of %s asks for revision %s, which was undone there; set the image that shall run.", source.Name, from)
	}
	say("Watch it with `kubectl scalableapp status %s --wait`.", name)
	return made, strings.Join(said, "\n") + "\n"
}

// quoted is a value as JSON, for a shell.
func quoted(value any) string {
	text := new(bytes.Buffer)
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return "'" + err.Error() + "'" // only words and numbers
	}
	return "'" + strings.ReplaceAll(strings.TrimSpace(text.String()), "'", `'\''`) + "'"
}

// sharedWith are the external services that a copy of an app has, too.
func sharedWith(app *v1alpha1.ScalableApp) string {
	var shared []string
	if s := app.Spec.Sessions; s != nil && s.External != nil {
		shared = append(shared, "external session store")
	}
	if c := app.Spec.Cache; c != nil && c.External != nil {
		shared = append(shared, "external cache")
	}
	return strings.Join(shared, " and ")
}
