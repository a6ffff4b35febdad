// Command kubectl-scalableapp is a plugin of kubectl: with it on PATH, `kubectl scalableapp` works.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scalableapp/scalableapp-operator/internal/cli"
)

// version is set by the linker.
var version = "dev"

func main() {
	// What goes wrong is returned as an error and printed once; the libraries would log it besides.
	klog.SetLogger(logr.Discard())
	log.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}
	code := cli.Run(ctx, version, os.Args[1:], streams)
	stop()
	os.Exit(code)
}
