package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// failoverCommand makes an instance the primary that lacks commits.
func (o *options) failoverCommand() *cobra.Command {
	to, accept := "", false
	command := &cobra.Command{
		Use:   "failover NAME --to=INSTANCE --accept-data-loss",
		Short: "Make an instance the primary that may lack commits, when the one that has them is lost for good",
		Long: `Make an instance the primary that may lack commits, when the one that has them is lost for good.

As a rule nothing is to be done: another instance takes over by itself within seconds. Only when the instances
that hold every acknowledged commit do not run, nobody does, because that would lose what only they have
(docs/runbooks/database-no-leader.md). This command says that this is agreed. Should the lost one come back
after all, what only it held is thrown away.`,
		Example: `  kubectl scalableapp failover shop --to=shop-db-1 --accept-data-loss`,
		Args:    oneName,
	}
	w := o.writes(command, "failover requested")
	command.Flags().StringVar(&to, "to", "", "The instance that shall be the primary: of those that run, the one that is furthest.")
	command.Flags().BoolVar(&accept, "accept-data-loss", false, "It is agreed that the commits are lost which this instance does not hold.")
	command.RunE = func(command *cobra.Command, args []string) error {
		return w.write(command.Context(), args[0], func(_ context.Context, _ *session, app *v1alpha1.ScalableApp) (object, string, error) {
			if err := canFailOver(app, to, accept); err != nil {
				return nil, "", err
			}
			word := "failover:" + to + ":" + strconv.FormatInt(time.Now().Unix(), 36)
			return annotations(object{naming.AnnotationDatabaseAction: word}), fmt.Sprintf("%s takes over; watch it with `kubectl scalableapp get %s -w`\n", to, app.Name), nil
		})
	}
	return command
}

// canFailOver refuses what is not asked for in full, and what would lose commits for nothing.
func canFailOver(app *v1alpha1.ScalableApp, to string, accept bool) error {
	if err := hasDatabase(app); err != nil {
		return err
	}
	db := app.Status.Database
	switch {
	case db != nil && db.Primary != "":
		return fmt.Errorf("%s takes the writes, so nothing has to be forced; to move them without a loss: kubectl scalableapp switchover %s", db.Primary, app.Name)
	case to == "":
		return errors.New("say which instance shall be the primary: --to=INSTANCE; see `kubectl get pods` for those that run")
	case !accept:
		why := ""
		if c := meta.FindStatusCondition(app.Status.Conditions, v1alpha1.ConditionDatabaseReady); c != nil {
			why = ": " + c.Message
		}
		return fmt.Errorf("commits that %s does not hold are lost for good by this%s; if that is agreed add --accept-data-loss", to, why)
	}
	return nil
}
