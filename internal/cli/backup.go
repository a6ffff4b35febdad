package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// backupCommand asks for a backup at once.
func (o *options) backupCommand() *cobra.Command {
	kind := ""
	var wait time.Duration
	command := &cobra.Command{
		Use:   "backup NAME [--type=full|diff] [--wait[=DURATION]]",
		Short: "Make a backup of the database now",
		Long: `Make a backup of the database now, beside those of the schedule.

A differential one holds what has changed since the last full one. Every moment since restorableFrom, in
status.database.backup, can be restored anyway, so a backup is wanted before something large, to make a restore to it fast.

--wait waits until it is made; --wait=DURATION no longer than that. Exit codes then: 0 it is made, 1 it failed,
2 the time has run out.`,
		Example: `  kubectl scalableapp backup shop
  kubectl scalableapp backup shop --type=full --wait`,
		Args: oneName,
	}
	w := o.writes(command, "backup requested")
	command.Flags().StringVar(&kind, "type", "diff", `"diff": what has changed since the last full one; "full": all.`)
	command.Flags().DurationVar(&wait, "wait", 0, "Wait until it is made, no longer than this (--wait alone: as long as it takes).")
	command.Flags().Lookup("wait").NoOptDefVal = forEver
	command.RunE = func(command *cobra.Command, args []string) error {
		waits := command.Flags().Changed("wait")
		switch {
		case kind != "full" && kind != "diff":
			return fmt.Errorf("--type is full or diff, not %q", kind)
		case waits && w.dryRun != "none":
			return errors.New("--wait and --dry-run exclude each other: nothing is made")
		}
		before := "" // the last backup when it was asked for
		word := strconv.FormatInt(time.Now().Unix(), 36) + ":" + kind
		err := w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			if err := canBackUp(app); err != nil {
				return nil, "", err
			}
			if waits && isPaused(app) {
				return nil, "", fmt.Errorf("%s is paused, so the backup would be waited for in vain; `kubectl scalableapp resume %s` first", app.Name, app.Name)
			}
			if db := app.Status.Database; db != nil && db.Backup != nil {
				before = db.Backup.LastBackup
			}
			said := fmt.Sprintf("A %s backup is made; status.database.backup.handledRequest is %s when it is over.\n", kindWords(kind), word)
			return annotations(object{naming.AnnotationBackup: word}), said, nil
		})
		if err != nil || !waits {
			return err
		}
		return o.waitForBackup(command.Context(), args[0], word, before, wait)
	}
	return command
}

func kindWords(kind string) string {
	if kind == "diff" {
		return "differential"
	}
	return kind
}

// inTrouble are the reasons of BackupReady with which a backup would only fail.
var inTrouble = []string{
	v1alpha1.ReasonSecretMissing, v1alpha1.ReasonSecretIncomplete, v1alpha1.ReasonRepositoryUnavailable, v1alpha1.ReasonCredentialsRefused,
	v1alpha1.ReasonRepositoryFull, v1alpha1.ReasonRepositoryMismatch, v1alpha1.ReasonArchiveFailing, v1alpha1.ReasonArchiveOff,
	v1alpha1.ReasonDatabaseUnavailable, v1alpha1.ReasonRestoreImpossible,
}

// canBackUp refuses a backup that would not be made, or would be made anyway.
func canBackUp(app *v1alpha1.ScalableApp) error {
	if err := hasBackups(app); err != nil {
		return err
	}
	ready := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionBackupReady)
	var have v1alpha1.BackupStatus
	if app.Status.Database != nil && app.Status.Database.Backup != nil {
		have = *app.Status.Database.Backup
	}
	asked := app.Annotations[naming.AnnotationBackup]
	switch {
	case app.DeletionTimestamp != nil:
		return fmt.Errorf("%s is being deleted", app.Name)
	case have.Running != "":
		return fmt.Errorf("a %s backup of %s is being made already; wait for it (status.database.backup.running)", kindWords(have.Running), app.Name)
	case ready != nil && ready.Status == metav1.ConditionFalse && slices.Contains(inTrouble, ready.Reason):
		return fmt.Errorf("a backup of %s would fail: BackupReady is False (%s): %s", app.Name, ready.Reason, sentence(ready.Message))
	case asked != "" && asked != have.HandledRequest:
		return fmt.Errorf("a backup of %s was asked for already (%s) and is still to be made; wait until status.database.backup.handledRequest names it", app.Name, asked)
	}
	return nil
}

// hasBackups refuses an app that has none.
func hasBackups(app *v1alpha1.ScalableApp) error {
	if app.Spec.Database != nil && app.Spec.Database.External != nil {
		return fmt.Errorf("the database of %s is not run by the operator (spec.database.external): its backups are its owner's to make and to restore", app.Name)
	}
	if err := hasDatabase(app); err != nil {
		return err
	}
	if app.Spec.Database.Postgres.Backup == nil {
		return fmt.Errorf("%s has no backups; set spec.database.postgres.backup, {} is enough", app.Name)
	}
	return nil
}

// waitForBackup follows an app until the backup that the word asks for is over, and says how it ended.
func (o *options) waitForBackup(ctx context.Context, name, word, before string, limit time.Duration) error {
	s, err := o.connect()
	if err != nil {
		return err
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	notOver := func() error {
		fmt.Fprintf(o.streams.ErrOut, "the backup of %s is not over yet; it goes on\n", name)
		return exitError(ExitProgressing)
	}
	watcher, changes, refused, err := s.follow(ctx, name, nil)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return notOver()
	case err != nil:
		return err
	}
	told := ""
	for {
		sights, err := look(ctx, watcher, s.namespace, name, nil)
		if err != nil {
			return err
		}
		if len(sights) == 0 {
			return fmt.Errorf("%s was deleted", name)
		}
		over, text, err := backupProgress(sights[0].app, word, before)
		if over || err != nil {
			fmt.Fprint(o.streams.Out, text)
			return err
		}
		if text != told {
			fmt.Fprintf(o.streams.ErrOut, "%s  %s\n", time.Now().Format(time.TimeOnly), text)
			told = text
		}
		select {
		case <-ctx.Done():
			return notOver()
		case err := <-refused:
			return err
		case <-changes:
		}
	}
}

// backupProgress says how the backup that a word asks for stands, and whether it is over. The last one before it
// tells whether it was made.
func backupProgress(app *v1alpha1.ScalableApp, word, before string) (over bool, text string, err error) {
	if app.Annotations[naming.AnnotationBackup] != word {
		return true, "", fmt.Errorf("another backup of %s was asked for meanwhile (%s)", app.Name, app.Annotations[naming.AnnotationBackup])
	}
	var have v1alpha1.BackupStatus
	if app.Status.Database != nil && app.Status.Database.Backup != nil {
		have = *app.Status.Database.Backup
	}
	switch {
	case have.HandledRequest == word && have.LastBackup != before:
		text := have.Message // how large it is, or what is wrong by now
		if text == "" {
			text = "the backup was made"
		}
		return true, have.LastBackup + ": " + sentence(text) + ".\n", nil
	case have.HandledRequest == word:
		return true, "", fmt.Errorf("the backup of %s failed: %s", app.Name, sentence(have.Message))
	case have.Running != "":
		return false, fmt.Sprintf("a %s backup is being made", kindWords(have.Running)), nil
	case have.Message != "":
		return false, "the backup is waited for; " + sentence(have.Message), nil
	default:
		return false, "the backup is waited for", nil
	}
}
