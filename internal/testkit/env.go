package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// howToRun is what a developer reads who ran the package without its API server.
const howToRun = `KUBEBUILDER_ASSETS is not set: these tests need a real kube-apiserver and etcd.
Run them with:            make test-integration
One package by hand:      KUBEBUILDER_ASSETS="$(go -C test/cluster run . binaries --only kube)" go test ./test/integration/...`

// Main starts kube-apiserver and etcd with the CRD installed, hands the way in to use, runs the
// package's tests and stops what it started. It is called by TestMain and does not return.
//
// Without KUBEBUILDER_ASSETS it fails: a suite that skips itself looks like one that passed.
func Main(m *testing.M, use func(*rest.Config)) {
	code, err := run(m, use)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

// ControlPlaneTimeout is how long an API server and its etcd may take to start or to stop, on a busy machine too.
const ControlPlaneTimeout = 3 * time.Minute

func run(m *testing.M, use func(*rest.Config)) (code int, err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return 0, errors.New(howToRun)
	}
	root, err := Root()
	if err != nil {
		return 0, err
	}
	gatewayAPI, err := GatewayAPI()
	if err != nil {
		return 0, err
	}
	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join(root, "config", "crd", "apps.scalableapp.dev_scalableapps.yaml"), gatewayAPI},
		ErrorIfCRDPathMissing: true,

		ControlPlaneStartTimeout: ControlPlaneTimeout, ControlPlaneStopTimeout: ControlPlaneTimeout,
	}
	config, err := env.Start()
	if err != nil {
		return 0, errors.Join(fmt.Errorf("start the API server: %w", err), env.Stop())
	}
	defer func() { err = errors.Join(err, env.Stop()) }()
	use(config)
	return m.Run(), nil
}

// GatewayAPI is the directory with the CRDs of the Gateway API, in the version that go.mod names.
func GatewayAPI() (string, error) {
	out, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api").Output()
	if err != nil {
		return "", fmt.Errorf("find the Gateway API among Go's modules: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "config", "crd", "standard"), nil
}

// Root is the repository's root: the directory with go.mod above the test's package.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}
