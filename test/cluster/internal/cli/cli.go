// Package cli is the command line of the local cluster.
package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/build"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cluster"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/debian"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/paths"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/progress"
)

// app is what every command needs. Progress goes to stderr, results go to stdout.
type app struct {
	layout   paths.Layout
	progress *progress.Printer
}

// Execute runs the command line and returns the exit code.
func Execute() int {
	layout, err := paths.Find()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	a := app{layout: layout, progress: progress.New(os.Stderr)}
	root := &cobra.Command{
		Use:           "cluster",
		Short:         "A real Kubernetes cluster on one Linux machine, without Docker and without a registry",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(a.up(), a.down(), a.status(), a.binaries(), a.loadImage(), a.env(), a.kubectl())
	root.AddCommand(a.faults()...)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

func (a app) builder() build.Builder { return build.Builder{Layout: a.layout, Progress: a.progress} }

// cluster returns the cluster with all programs at hand.
func (a app) cluster() (*cluster.Cluster, error) {
	bin, err := a.builder().All()
	return &cluster.Cluster{Layout: a.layout, Progress: a.progress, Bin: bin}, err
}

// change runs what changes the cluster while no other command does.
func (a app) change(run func(*cluster.Cluster) error) error {
	c, err := a.cluster()
	if err != nil {
		return err
	}
	unlock, err := c.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	return run(c)
}

func (a app) up() *cobra.Command {
	var o cluster.UpOptions
	var gateway bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the cluster, or complete it; does nothing if it is healthy",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			// Before anything that takes minutes.
			if err := (&cluster.Cluster{Layout: a.layout}).Conflict(o.Replace); err != nil {
				return err
			}
			if err := debian.Ensure(a.progress); err != nil {
				return err
			}
			return a.change(func(c *cluster.Cluster) (err error) {
				if gateway {
					if o.Gateway, err = a.gateway(); err != nil {
						return err
					}
				}
				return c.Up(o)
			})
		},
	}
	cmd.Flags().IntVar(&o.Nodes, "nodes", 1, "number of nodes")
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "remove another checkout's cluster if one is up")
	cmd.Flags().BoolVar(&gateway, "gateway", false, "with the Gateway API and a Gateway (Traefik)")
	cmd.Flags().BoolVar(&o.Durable, "durable", false, "let etcd wait for the disk (only where durability is measured)")
	return cmd
}

// gateway has everything at hand that a gateway needs.
func (a app) gateway() (*cluster.Gateway, error) {
	program, err := a.builder().Traefik()
	if err != nil {
		return nil, err
	}
	crds, err := a.builder().GatewayAPI()
	return &cluster.Gateway{Program: program, CRDs: crds}, err
}

func (a app) down() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove the cluster with all its data",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			// Without the programs: they need not be built to be stopped.
			c := &cluster.Cluster{Layout: a.layout, Progress: a.progress}
			unlock, err := c.Lock()
			if err != nil {
				return err
			}
			defer unlock()
			return c.Down(force)
		},
	}
	cmd.Flags().BoolVar(&force, "replace", false, "remove another checkout's cluster too")
	return cmd
}

func (a app) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show nodes, processes and memory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.cluster()
			if err != nil {
				return err
			}
			return c.Status(cmd.OutOrStdout())
		},
	}
}

func (a app) binaries() *cobra.Command {
	var only string
	cmd := &cobra.Command{
		Use:   "binaries",
		Short: "Build the programs if they are not cached and print their directory",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var dir string
			var err error
			switch only {
			case "":
				dir, err = a.builder().All()
			case "kube":
				dir, err = a.builder().Kubernetes()
			case "traefik":
				if dir, err = a.builder().Traefik(); err == nil {
					dir = filepath.Dir(dir)
				}
			default:
				return fmt.Errorf("--only %s: can be kube or traefik", only)
			}
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), dir)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&only, "only", "", "kube: only Kubernetes, etcd and kubectl; traefik: only that")
	return cmd
}

func (a app) loadImage() *cobra.Command {
	return &cobra.Command{
		Use:   "load-image FILE...",
		Short: "Import docker archives into every node",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			return a.change(func(c *cluster.Cluster) error { return c.LoadImages(files) })
		},
	}
}

func (a app) env() *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print shell commands that set KUBECONFIG and PATH",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bin, err := a.builder().Kubernetes()
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "export KUBECONFIG=%s; export PATH=%s:$PATH\n", a.layout.Kubeconfig(), bin)
				if (&cluster.Cluster{Layout: a.layout}).HasGateway() {
					fmt.Fprintf(cmd.OutOrStdout(), "export GATEWAY=%s\n", cluster.GatewayURL())
				}
			}
			return err
		},
	}
}

func (a app) kubectl() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl ARGS...",
		Short:              "Run kubectl as the cluster's administrator",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			bin, err := a.builder().Kubernetes()
			if err != nil {
				return err
			}
			env := append(os.Environ(), "KUBECONFIG="+a.layout.Kubeconfig())
			return syscall.Exec(filepath.Join(bin, "kubectl"), append([]string{"kubectl"}, args...), env)
		},
	}
}

// faults are the commands that hurt a node and mend it.
func (a app) faults() []*cobra.Command {
	onNode := func(use, short string, args int, run func(*cluster.Cluster, cluster.Node, []string) error) *cobra.Command {
		return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(args), RunE: func(_ *cobra.Command, args []string) error {
			return a.change(func(c *cluster.Cluster) error {
				node, err := c.Find(args[0])
				if err != nil {
					return err
				}
				return run(c, node, args[1:])
			})
		}}
	}
	return []*cobra.Command{
		onNode("partition NODE", "Unplug a node from the network", 1, func(_ *cluster.Cluster, n cluster.Node, _ []string) error {
			return network.Partition(n.Number)
		}),
		onNode("heal NODE", "Plug a node in again, end its delay", 1, func(c *cluster.Cluster, n cluster.Node, _ []string) error {
			return c.Heal(n)
		}),
		onNode("delay NODE MS", "Add milliseconds to every round trip of a node; 0 ends it", 2, func(c *cluster.Cluster, n cluster.Node, args []string) error {
			milliseconds, err := strconv.Atoi(args[0])
			if err != nil || milliseconds < 0 {
				return fmt.Errorf("%q is no number of milliseconds", args[0])
			}
			return c.Delay(n, time.Duration(milliseconds)*time.Millisecond)
		}),
		onNode("kill-node NODE", "End a node with everything on it, as a power cut does", 1, func(c *cluster.Cluster, n cluster.Node, _ []string) error {
			return c.KillNode(n)
		}),
		onNode("start-node NODE", "Start a node that was killed", 1, func(c *cluster.Cluster, n cluster.Node, _ []string) error {
			return c.StartNode(n)
		}),
	}
}
