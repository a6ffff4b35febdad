package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// scheme knows every kind that the plugin reads.
var scheme = runtime.NewScheme()

func init() {
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	utilruntime.Must(gatewayv1.Install(scheme))
}

// session is the way to one cluster, as the user's flags and kubeconfig say.
type session struct {
	client.Client
	config    *rest.Config
	mapper    meta.RESTMapper
	namespace string
}

func (o *options) connect() (*session, error) {
	config, err := o.flags.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 50, 300 // kubectl's own; the API server sees to fairness
	config.WarningHandler = rest.NewWarningWriter(o.streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	mapper, err := o.flags.ToRESTMapper()
	if err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper, FieldValidation: metav1.FieldValidationStrict})
	if err != nil {
		return nil, err
	}
	namespace, _, err := o.flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil, err
	}
	return &session{Client: c, config: config, mapper: mapper, namespace: namespace}, nil
}

// app reads one ScalableApp. If there is none of that name, the error says which there are.
func (s *session) app(ctx context.Context, name string) (*v1alpha1.ScalableApp, error) {
	app := &v1alpha1.ScalableApp{}
	err := s.Get(ctx, types.NamespacedName{Namespace: s.namespace, Name: name}, app)
	if apierrors.IsNotFound(err) && !unknownKind(err) {
		return nil, s.noSuchApp(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	app.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ScalableApp"))
	return app, nil
}

func (s *session) noSuchApp(ctx context.Context, name string) error {
	list := &v1alpha1.ScalableAppList{}
	if err := s.List(ctx, list, client.InNamespace(s.namespace)); err != nil || len(list.Items) == 0 {
		return fmt.Errorf("there is no ScalableApp %q in namespace %q; `kubectl scalableapp get -A` shows where there are some", name, s.namespace)
	}
	names := make([]string, len(list.Items))
	for i := range list.Items {
		names[i] = list.Items[i].Name
	}
	return fmt.Errorf("there is no ScalableApp %q in namespace %q; there is: %s", name, s.namespace, strings.Join(names, ", "))
}

// unknownKind says whether an answer "not found" is about the kind, not about the object.
func unknownKind(err error) bool {
	if meta.IsNoMatchError(err) {
		return true
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || !apierrors.IsNotFound(err) {
		return false
	}
	details := status.Status().Details
	return details != nil && len(details.Causes) > 0 && details.Causes[0].Type == metav1.CauseTypeUnexpectedServerResponse
}

// explain turns an error into words that name the way out.
func explain(err error) string {
	var unreachable *url.Error
	var noAddress *net.OpError
	switch {
	case unknownKind(err):
		return "this cluster does not know ScalableApps: their CRD is not installed. Install the operator (make deploy, or the Helm chart in charts/scalableapp-operator), or choose another cluster with --context or --kubeconfig"
	case apierrors.IsForbidden(err):
		return err.Error() + ". Ask for this right, or see with `kubectl auth can-i --list` what you may do"
	case apierrors.IsUnauthorized(err):
		return "the API server does not know you: log in again, or choose another user with --context or --user"
	case errors.As(err, &unreachable) && errors.As(err, &noAddress):
		return fmt.Sprintf("the API server cannot be reached: %v. Is the cluster up, and the right --context chosen?", err)
	default:
		return err.Error()
	}
}
