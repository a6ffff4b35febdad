// Package integration tests what only a real API server can show: admission, defaults, subresources,
// and the wiring of the controller to them.
package integration

import (
	"flag"
	"runtime/debug"
	"testing"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// config is the way to the API server that TestMain started.
var config *rest.Config

func TestMain(m *testing.M) {
	// Tests wait for the API server most of the time. A -parallel on the command line wins.
	_ = flag.Set("test.parallel", "8")
	debug.SetGCPercent(400) // many small worlds, and memory enough for them
	log.SetLogger(logr.Discard())
	testkit.Main(m, func(c *rest.Config) { config = c })
}
