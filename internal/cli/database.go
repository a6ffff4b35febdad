package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

// switchoverCommand makes another instance of the database the primary.
func (o *options) switchoverCommand() *cobra.Command {
	to := ""
	command := &cobra.Command{
		Use:   "switchover NAME [--to=INSTANCE]",
		Short: "Make another instance of the database the primary",
		Long: `Make another instance of the database the primary.

The operator has Patroni hand over: the primary shuts down in order, and the instance takes over that holds
every acknowledged commit. Writes stop for one to two seconds. It is refused when no instance is in step. With
durability Asynchronous nobody knows who is, so it is not refused: the instance takes over that is furthest, and
commits that it has not received by the time the primary has shut down are lost.`,
		Example: `  kubectl scalableapp switchover shop
  kubectl scalableapp switchover shop --to=shop-db-1`,
		Args: oneName,
	}
	w := o.writes(command, "switchover requested")
	command.Flags().StringVar(&to, "to", "", "The instance that shall be the primary; left out, the one that is in step.")
	command.RunE = func(command *cobra.Command, args []string) error {
		return w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			if err := canSwitchOver(app, to); err != nil {
				return nil, "", err
			}
			from := app.Status.Database.Primary
			word := strings.Join([]string{"switchover", from, to, strconv.FormatInt(time.Now().Unix(), 36)}, ":")
			return annotations(object{naming.AnnotationDatabaseAction: word}), fmt.Sprintf("%s hands over; watch it with `kubectl scalableapp get %s -w`\n", from, app.Name), nil
		})
	}
	return command
}

// canSwitchOver refuses what the operator would refuse, before anything is written.
func canSwitchOver(app *v1alpha1.ScalableApp, to string) error {
	if err := hasDatabase(app); err != nil {
		return err
	}
	db, postgres := app.Status.Database, app.Spec.Database.Postgres
	switch {
	case postgres.Instances < 2:
		return fmt.Errorf("%s has one instance of the database, so nobody can take over; raise spec.database.postgres.instances", app.Name)
	case db == nil || db.Primary == "":
		return fmt.Errorf("%s has no primary at present; Patroni elects one by itself", app.Name)
	case to == db.Primary:
		return fmt.Errorf("%s is the primary already", to)
	case postgres.Durability == v1alpha1.DurabilityAsynchronous:
		return nil // nobody is in step; Patroni looks for itself
	case len(db.Synchronous) == 0:
		return fmt.Errorf("no instance is in step with %s, so a switchover could lose commits; wait until status.database.synchronous names one", db.Primary)
	case to != "" && !slices.Contains(db.Synchronous, to):
		return fmt.Errorf("%s is not in step with %s, so a switchover to it could lose commits; in step: %s", to, db.Primary, strings.Join(db.Synchronous, ", "))
	}
	return nil
}

func hasDatabase(app *v1alpha1.ScalableApp) error {
	if app.Spec.Database == nil || app.Spec.Database.Postgres == nil {
		return fmt.Errorf("%s has no database that the operator runs (spec.database.postgres)", app.Name)
	}
	return nil
}

// psqlCommand opens a psql on the database.
func (o *options) psqlCommand() *cobra.Command {
	var superuser, readOnly bool
	command := &cobra.Command{
		Use:   "psql NAME [--read-only | --superuser] [-- PSQL ARGS...]",
		Short: "Open psql on the app's database",
		Long: `Open psql on the app's database, as the app's own role on the primary.

It runs in the pod of the instance, by kubectl exec: no password is shown and nothing is opened to the network.`,
		Example: `  kubectl scalableapp psql shop
  kubectl scalableapp psql shop --read-only -- -c 'SELECT count(*) FROM orders'`,
		Args: nameAndMore,
	}
	command.Flags().BoolVar(&readOnly, "read-only", false, "On a replica, as the role that can only read. While no replica serves, on the primary.")
	command.Flags().BoolVar(&superuser, "superuser", false, "As the superuser postgres.")
	command.ValidArgsFunction = o.completeName
	command.RunE = func(command *cobra.Command, args []string) error {
		if superuser && readOnly {
			return errors.New("--superuser and --read-only exclude each other")
		}
		s, err := o.connect()
		if err != nil {
			return err
		}
		app, err := s.app(command.Context(), args[0])
		if err != nil {
			return err
		}
		if err := hasDatabase(app); err != nil {
			return err
		}
		pods := &corev1.PodList{}
		if readOnly {
			mine := client.MatchingLabels(naming.Selector(app, naming.ComponentDatabase))
			if err := s.List(command.Context(), pods, client.InNamespace(s.namespace), mine); err != nil && !apierrors.IsForbidden(err) {
				return err
			}
		}
		pod, err := psqlPod(app, pods.Items, readOnly)
		if err != nil {
			return err
		}
		// The app's role is one of two that take turns.
		script := `cd /etc/postgres-credentials; b=; [ "$(cat APP_ACTIVE 2>/dev/null)" != app_b ] || b=_B
PGUSER=$(echo app$b | tr B b) PGPASSWORD=$(cat APP${b}_PASSWORD) exec psql -h 127.0.0.1 app "$@"`
		switch {
		case superuser:
			script = `exec psql -U postgres app "$@"`
		case readOnly:
			script = strings.NewReplacer("APP${b}", "APP_RO${b}", "echo app$b", "echo app_ro$b").Replace(script)
		}
		return o.exec(command.Context(), pod, components.DatabaseContainer, append([]string{"sh", "-c", script, "psql"}, args[1:]...))
	}
	return command
}

// psqlPod is the pod in which psql is opened: for reads a standby in step, another replica that serves, or where there
// is none the primary.
func psqlPod(app *v1alpha1.ScalableApp, pods []corev1.Pod, readOnly bool) (string, error) {
	var db v1alpha1.DatabaseStatus
	if app.Status.Database != nil {
		db = *app.Status.Database
	}
	if readOnly && len(db.Synchronous) > 0 {
		return db.Synchronous[0], nil
	}
	for i := range pods {
		if readOnly && pods[i].Labels[naming.LabelRole] == "replica" && status.Serving(&pods[i]) {
			return pods[i].Name, nil
		}
	}
	switch {
	case db.Primary != "":
		return db.Primary, nil
	case readOnly:
		return "", fmt.Errorf("%s has no instance that serves at present; see `kubectl scalableapp get %s`", app.Name, app.Name)
	default:
		return "", fmt.Errorf("%s has no primary at present; see `kubectl scalableapp get %s`", app.Name, app.Name)
	}
}

// nameAndMore are the arguments of a command that hands the rest to another program.
func nameAndMore(command *cobra.Command, args []string) error {
	if len(args) == 0 || command.ArgsLenAtDash() > 1 || (command.ArgsLenAtDash() < 0 && len(args) > 1) {
		return fmt.Errorf("%s takes the name of one ScalableApp, and after -- what is handed on; usage: %s", command.CommandPath(), command.UseLine())
	}
	return nil
}

// appOf reads one app.
func (o *options) appOf(ctx context.Context, name string) (*v1alpha1.ScalableApp, error) {
	s, err := o.connect()
	if err != nil {
		return nil, err
	}
	return s.app(ctx, name)
}

// exec runs a command in a pod by kubectl exec, with the same connection flags, on this terminal.
func (o *options) exec(ctx context.Context, pod, container string, command []string) error {
	namespace, _, err := o.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return err
	}
	args := []string{"exec", "-i"}
	if isTerminal(os.Stdin) && isTerminal(os.Stdout) {
		args = append(args, "-t")
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	o.flags.AddFlags(flags)
	flags.VisitAll(func(flag *pflag.Flag) {
		if value := flag.Value.String(); flag.Name != "namespace" && value != "" && value != flag.DefValue {
			args = append(args, "--"+flag.Name+"="+value)
		}
	})
	args = append(args, "--namespace="+namespace, pod, "--container="+container, "--")
	run := exec.CommandContext(ctx, "kubectl", append(args, command...)...)
	run.Stdin, run.Stdout, run.Stderr = o.streams.In, o.streams.Out, o.streams.ErrOut
	err = run.Run()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return errors.New("kubectl was not found in PATH; it is what runs the command in the pod")
	case errors.As(err, &exit):
		return exitError(exit.ExitCode())
	}
	return err
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
