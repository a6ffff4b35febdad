package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/components"
)

// redisScript opens redis-cli as the app's own user. The password comes from the file that the pod has of it,
// so it is in no argument and goes through no terminal. A history would lie beside the data.
const redisScript = `f=` + components.RedisAppPasswordFile + `
[ -r "$f" ] || { echo "error: this pod was started by an earlier operator, which did not give it the app's password; its next restart does" >&2; exit 1; }
REDISCLI_HISTFILE=/dev/null REDISCLI_AUTH=$(cat "$f") exec redis-cli --no-auth-warning --user ` + components.RedisUser + ` "$@"`

// redisCLICommand opens a redis-cli on the session store or the cache.
func (o *options) redisCLICommand() *cobra.Command {
	var cache bool
	command := &cobra.Command{
		Use:   "redis-cli NAME [--cache] [-- REDIS-CLI ARGS...]",
		Short: "Open redis-cli on the app's session store or cache",
		Long: `Open redis-cli on the master of the app's session store, or of its cache, as the app's own user.

It runs in the pod of the master, by kubectl exec: no password is shown and nothing is opened to the network.
The app's user may do what the app may; commands that harm others or show the inside (FLUSHALL, KEYS, CONFIG)
are refused.`,
		Example: `  kubectl scalableapp redis-cli shop
  kubectl scalableapp redis-cli shop --cache -- --scan --count 100
  kubectl scalableapp redis-cli shop -- DBSIZE`,
		Args: nameAndMore,
	}
	command.Flags().BoolVar(&cache, "cache", false, "On the cache instead of the session store.")
	command.ValidArgsFunction = o.completeName
	command.RunE = func(command *cobra.Command, args []string) error {
		app, err := o.appOf(command.Context(), args[0])
		if err != nil {
			return err
		}
		pod, err := redisMaster(app, cache)
		if err != nil {
			return err
		}
		return o.exec(command.Context(), pod, components.RedisContainer, append([]string{"sh", "-c", redisScript, "redis-cli"}, args[1:]...))
	}
	return command
}

// redisMaster is the pod that takes the writes of the session store or the cache.
func redisMaster(app *v1alpha1.ScalableApp, cache bool) (string, error) {
	what, field, external, status := "session store", "sessions", false, app.Status.Sessions
	wanted := app.Spec.Sessions != nil
	if wanted {
		external = app.Spec.Sessions.External != nil
	}
	if cache {
		what, field, status = "cache", "cache", app.Status.Cache
		wanted = app.Spec.Cache != nil
		external = wanted && app.Spec.Cache.External != nil
	}
	switch {
	case !wanted:
		return "", fmt.Errorf("%s has no %s (spec.%s)", app.Name, what, field)
	case external:
		return "", fmt.Errorf("the %s of %s is not run by the operator; the Secret that spec.%s.external.secretName names says where it is", what, app.Name, field)
	case status == nil || status.Master == "":
		return "", fmt.Errorf("the %s of %s has no master at present; see `kubectl scalableapp get %s`", what, app.Name, app.Name)
	}
	return status.Master, nil
}
