// Package cli is the kubectl plugin: what a person sees of an app, and the few writes that a person
// makes to one. It is an edge beside the operator. What it knows of revisions and plans it has from the
// core, so that both always say the same.
package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// The exit codes of the commands.
const (
	// ExitOK: done; for status: Ready; for plan: nothing would change.
	ExitOK = 0
	// ExitError: it could not be done or looked at.
	ExitError = 1
	// ExitProgressing is status' for an app that is on its way.
	ExitProgressing = 2
	// ExitChanges is plan's for a file that would change something, as diff's.
	ExitChanges = 2
	// ExitStalled is status' for an app that needs a person.
	ExitStalled = 3
)

// fieldManager is the field manager of everything that the plugin writes.
const fieldManager = "kubectl-scalableapp"

// exitError ends the program with a code without an error to print: what is to say was said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// options are what all commands share.
type options struct {
	streams genericiooptions.IOStreams
	flags   *genericclioptions.ConfigFlags
	version string
}

// Run runs the plugin with the given arguments and returns its exit code.
func Run(ctx context.Context, version string, args []string, streams genericiooptions.IOStreams) int {
	command := newCommand(version, streams)
	command.SetArgs(args)
	err := command.ExecuteContext(ctx)
	var exit exitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &exit):
		return int(exit)
	case ctx.Err() != nil:
		return ExitError // interrupted; the person knows
	default:
		fmt.Fprintln(streams.ErrOut, "error:", explain(err))
		return ExitError
	}
}

func newCommand(version string, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{streams: streams, version: version, flags: genericclioptions.NewConfigFlags(true)}
	root := &cobra.Command{
		Use:   "kubectl-scalableapp",
		Short: "See and steer ScalableApps",
		Long: `See and steer ScalableApps.

All of kubectl's own flags that say how to reach a cluster work here too (kubectl options lists them).

Each command that changes something makes exactly one write, to the ScalableApp; the operator does the
rest. The number of pods is kubectl's own to change:

  kubectl scale scalableapp NAME --replicas=N`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl scalableapp"},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	o.flags.AddFlags(root.PersistentFlags())
	root.PersistentFlags().VisitAll(func(flag *pflag.Flag) {
		// All of kubectl's connection flags work; the help of each command lists those that people use.
		flag.Hidden = !slices.Contains([]string{"namespace", "context", "kubeconfig"}, flag.Name)
	})
	_ = root.RegisterFlagCompletionFunc("namespace", o.completeNamespaces) // fails only for an unknown flag
	for _, group := range []*cobra.Group{{ID: "see", Title: "See:"}, {ID: "steer", Title: "Steer:"}} {
		root.AddGroup(group)
	}
	add := func(group string, commands ...*cobra.Command) {
		for _, command := range commands {
			command.GroupID = group
			root.AddCommand(command)
		}
	}
	add("see", o.getCommand(), o.statusCommand(), o.historyCommand(), o.planCommand())
	add("steer", o.setCommand(), o.promoteCommand(), o.abortCommand(), o.retryCommand(), o.undoCommand(),
		o.pauseCommand(), o.resumeCommand(), o.restartCommand(), o.switchoverCommand(), o.failoverCommand(),
		o.backupCommand(), o.restoreCommand(), o.psqlCommand(), o.redisCLICommand())
	root.AddCommand(o.versionCommand())
	return root
}

func (o *options) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this plugin",
		Args:  cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			fmt.Fprintln(o.streams.Out, versionText(o.version))
		},
	}
}

// oneName are the arguments of a command about one app.
func oneName(command *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s takes the name of one ScalableApp, and %d names were given; usage: %s", command.CommandPath(), len(args), command.UseLine())
	}
	return nil
}
