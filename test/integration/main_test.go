// Package integration tests what only a real API server can show: admission, defaults, subresources,
// and the wiring of the controller to them.
package integration

import (
	"testing"

	"k8s.io/client-go/rest"

	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

// config is the way to the API server that TestMain started.
var config *rest.Config

func TestMain(m *testing.M) {
	testkit.Main(m, func(c *rest.Config) { config = c })
}
