package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

func (o *options) getCommand() *cobra.Command {
	var watch, all bool
	print := genericclioptions.NewPrintFlags("").WithTypeSetter(scheme)
	command := &cobra.Command{
		Use:   "get [NAME]",
		Short: "Show apps as trees: revisions, data tier, what is not good, endpoints",
		Long: `Show apps as trees: the revisions with their share of the traffic and their pods, the data tier, what
is not as it should be and why, and the endpoints.

With -w a terminal shows the tree as it changes; elsewhere each change is one more line.`,
		Example: `  kubectl scalableapp get
  kubectl scalableapp get shop -w`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: o.completeName,
		RunE: func(command *cobra.Command, args []string) error {
			s, err := o.connect()
			if err != nil {
				return err
			}
			if all {
				s.namespace = ""
			}
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			formatted := *print.OutputFormat != ""
			switch {
			case name != "" && all:
				return errors.New("a name and -A exclude each other: choose the app's namespace with -n")
			case watch && formatted:
				return errors.New("-w draws trees; `kubectl get scalableapp -w -o …` prints objects as they change")
			case watch:
				return o.watch(command.Context(), s, name)
			case formatted:
				return o.printApps(command, s, name, print)
			default:
				return o.printTrees(command, s, name, all)
			}
		},
	}
	command.Flags().BoolVarP(&watch, "watch", "w", false, "Show changes as they come.")
	command.Flags().BoolVarP(&all, "all-namespaces", "A", false, "Show the apps of all namespaces.")
	print.AddFlags(command)
	return command
}

func (o *options) printTrees(command *cobra.Command, s *session, name string, all bool) error {
	sights, err := s.sights(command.Context(), name)
	if err != nil {
		return err
	}
	if len(sights) == 0 {
		fmt.Fprintln(o.streams.ErrOut, noApps(s.namespace))
	}
	for i, each := range sights {
		if i > 0 {
			fmt.Fprintln(o.streams.Out)
		}
		fmt.Fprint(o.streams.Out, tree(each, all))
	}
	return nil
}

func noApps(namespace string) string {
	if namespace == "" {
		return "There is no ScalableApp yet: kubectl apply -f config/samples/smallest.yaml"
	}
	return fmt.Sprintf("There is no ScalableApp in namespace %s; -A shows those of all namespaces.", namespace)
}

func (o *options) printApps(command *cobra.Command, s *session, name string, print *genericclioptions.PrintFlags) error {
	printer, err := print.ToPrinter()
	if err != nil {
		return err
	}
	if name != "" {
		app, err := s.app(command.Context(), name)
		if err != nil {
			return err
		}
		return printer.PrintObj(app, o.streams.Out)
	}
	sights, err := look(command.Context(), s, s.namespace, "", nil)
	if err != nil {
		return err
	}
	if *print.OutputFormat == "name" { // it prints no lists
		for _, each := range sights {
			if err := printer.PrintObj(each.app, o.streams.Out); err != nil {
				return err
			}
		}
		return nil
	}
	// A List of kubectl's kind, so that scripts read both outputs alike.
	list := &metav1.List{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "List"}}
	for _, each := range sights {
		list.Items = append(list.Items, runtime.RawExtension{Object: each.app})
	}
	return printer.PrintObj(list, o.streams.Out)
}
