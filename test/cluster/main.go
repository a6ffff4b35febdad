// Command cluster runs a real, multi-node Kubernetes cluster on one Linux machine for development,
// tests and benchmarks: `go -C test/cluster run . up`.
package main

import (
	"os"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cli"
)

func main() { os.Exit(cli.Execute()) }
