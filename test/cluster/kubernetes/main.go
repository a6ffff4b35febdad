// Command kube is every Kubernetes binary that the local cluster runs, in one file. The first word
// of its name or of its arguments chooses the component, as with busybox: `kube kubelet --config …`.
//
// Why one binary: five `go build`s link the same packages five times; one build links once, which
// saves minutes of a cold start on two cores and 300 MB of disk.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	etcd "go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // registers the JSON log format that the components' flags offer
	kubectlcli "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"context"
)

// components maps a component's name to what runs it; each returns the exit code.
var components = map[string]func(args []string) int{
	"etcd":                    func(args []string) int { etcd.Main(args); return 0 },
	"kube-apiserver":          cobraComponent(func() *cobra.Command { return apiserver.NewAPIServerCommand() }),
	"kube-controller-manager": cobraComponent(func() *cobra.Command { return controllermanager.NewControllerManagerCommand() }),
	"kube-scheduler":          cobraComponent(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
	"kube-proxy":              cobraComponent(func() *cobra.Command { return proxy.NewProxyCommand() }),
	"kubelet":                 cobraComponent(func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }),
	"kubectl":                 kubectl,
}

func main() {
	args := os.Args
	if _, known := components[filepath.Base(args[0])]; !known && len(args) > 1 {
		args = args[1:]
	}
	name := filepath.Base(args[0])
	run, known := components[name]
	if !known {
		names := make([]string, 0, len(components))
		for n := range components {
			names = append(names, n)
		}
		sort.Strings(names)
		fmt.Fprintf(os.Stderr, "kube: no component %q; one of: %s\n", name, strings.Join(names, ", "))
		os.Exit(2)
	}
	os.Args = args // cobra and kubectl's plugin look-up read it
	os.Exit(run(args))
}

func cobraComponent(command func() *cobra.Command) func([]string) int {
	return func([]string) int { return cli.Run(command()) }
}

func kubectl([]string) int {
	command := kubectlcli.NewDefaultKubectlCommand()
	if err := cli.RunNoErrOutput(command); err != nil {
		kubectlutil.CheckErr(err) // prints the error the way kubectl does and exits
	}
	return 0
}
