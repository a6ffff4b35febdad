// Command provisioner makes persistent volumes for the local cluster: one directory for each volume,
// on the node that the scheduler chose. It runs on the machine itself, not in a pod, because every
// node's file system is the machine's.
package main

import (
	"context"
	"flag"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig file")
	dir := flag.String("dir", "", "directory that holds the volumes")
	name := flag.String("name", "hostdir.local-cluster", "provisioner name that storage classes refer to")
	klog.InitFlags(nil)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *dir, *name); err != nil {
		klog.ErrorS(err, "provisioner stopped")
		klog.FlushAndExit(klog.ExitFlushTimeout, 1)
	}
}

func run(ctx context.Context, kubeconfig, dir, name string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	provisioner, err := newHostDir(dir, client)
	if err != nil {
		return err
	}
	go (&resizer{volumes: provisioner}).watch(ctx)
	controller.NewProvisionController(ctx, client, name, provisioner,
		controller.LeaderElection(false), // one process for each cluster
		controller.MetricsPort(0),
		// The library's default first retry comes after 15 s, which a test would have to wait out.
		controller.RateLimiter(workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second, 15*time.Second)),
		controller.FailedProvisionThreshold(0), // never give up
		controller.FailedDeleteThreshold(0),
	).Run(ctx)
	return nil
}
