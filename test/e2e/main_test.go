// Package e2e tests the operator as its users meet it: deployed in a real cluster with real nodes, real
// PostgreSQL and Redis, real load. Each test makes a namespace of its own that enforces the Pod Security
// level restricted, and removes it.
//
//	make test-e2e                     all of it; starts the local cluster if it is not up
//	make test-e2e RUN=TestStack       one test
//
// The environment can say more:
//
//	E2E_RATE=50         requests a second of the tests under load
//	E2E_BEFORE=10s      how long load runs before the change that it accompanies
//	E2E_IDLE=60s        how long the operator is watched being idle
//	E2E_FAULT="node silent"   one fault of TestFailover
//	E2E_KEEP=1          keep the namespace of a failed test
package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// Where the operator is deployed, by hack/deploy.sh or the chart with its default name.
const (
	operatorNamespace = "scalableapp-system"
	operatorName      = "scalableapp-operator"
	operatorUser      = "system:serviceaccount:" + operatorNamespace + ":" + operatorName
)

// The images of the sample app that hack/up.sh puts on the nodes. Both hold the same program, which says
// its image's tag on /version.
const (
	image100 = "scalableapp/sample-app:1.0.0"
	image110 = "scalableapp/sample-app:1.1.0"
	// imageNone can be pulled nowhere: the top-level domain "invalid" never exists.
	imageNone = "registry.invalid/none:1"
)

// The way into the cluster: api for objects, pods for what only a typed client can do (logs).
var (
	api  client.WithWatch
	pods kubernetes.Interface
)

const howToRun = `These tests need a cluster with the operator in it, and KUBECONFIG says which.
Run them with:        make test-e2e
By hand:              hack/up.sh --no-sample && eval "$(go -C test/cluster run . env)" && go test ./test/e2e/...`

func TestMain(m *testing.M) {
	if err := connect(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n%s\n", err, howToRun)
		os.Exit(1) // never skipped: a suite that skips itself looks like one that passed
	}
	os.Exit(m.Run())
}

// connect finds the cluster and sees that the operator is in it.
func connect() error {
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		return errors.New("KUBECONFIG is not set")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return fmt.Errorf("KUBECONFIG: %w", err)
	}
	config.QPS, config.Burst = 100, 200             // waiting means asking; the client's own default would dominate it
	log.SetLogger(zap.New(zap.WriteTo(io.Discard))) // or controller-runtime complains that nobody did
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if pods, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if _, err := pods.Discovery().ServerVersion(); err != nil {
		return fmt.Errorf("the cluster does not answer: %w", err)
	}
	if api, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return operatorIsThere()
}

func operatorIsThere() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := api.List(ctx, &v1alpha1.ScalableAppList{}, client.Limit(1)); meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return errors.New("the cluster does not know ScalableApps: the CRD is not installed")
	} else if err != nil {
		return err
	}
	for {
		operator := &appsv1.Deployment{}
		key := client.ObjectKey{Namespace: operatorNamespace, Name: operatorName}
		if err := api.Get(ctx, key, operator); err != nil {
			return fmt.Errorf("the operator is not deployed: %w", err)
		}
		if operator.Status.AvailableReplicas > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the operator's Deployment %s has no available pod", key)
		case <-time.After(pollEvery):
		}
	}
}

// operatorPods are the operator's pods.
func operatorPods(ctx context.Context) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	err := api.List(ctx, list, client.InNamespace(operatorNamespace), client.MatchingLabels{"app.kubernetes.io/name": operatorName})
	return list.Items, err
}

// setting is a duration from the environment.
func setting(t *testing.T, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return value
}
