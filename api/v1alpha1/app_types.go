package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// AppSpec is the stateless application. Every field but replicas is part of the app's revision: a
// change is a new revision, rolled out as spec.rollout says.
type AppSpec struct {
	// image is the container image, for example "registry.example/shop:1.4.2". A new tag is an
	// upgrade.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.matches('\\\\s')",message="app.image must not contain white space; write it as REPOSITORY:TAG or REPOSITORY@DIGEST"
	Image string `json:"image,omitempty"`

	// port is the port on which the app serves HTTP. The app finds it in the variable PORT.
	// +optional
	// +kubebuilder:default=8080
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`

	// replicas is the number of app pods that shall be available. With autoscaling it is written by
	// the HorizontalPodAutoscaler through the scale subresource; leave it out of your manifests then.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`

	// command replaces the image's entry point.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`

	// args are the arguments of the entry point.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Args []string `json:"args,omitempty"`

	// env are environment variables, as in a container. The names that the operator sets itself
	// (PORT, DATABASE_URL, DATABASE_RO_URL, SESSION_URL, CACHE_URL, SERVICE_BINDING_ROOT) win over it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:XValidation:rule="self.all(e, !(has(e.value) && size(e.value) > 0 && has(e.valueFrom)))",message="a variable in app.env has either value or valueFrom; remove one of the two"
	Env []corev1.EnvVar `json:"env,omitempty"`

	// envFrom are sources of environment variables, as in a container. The content of the ConfigMaps
	// it names is part of the revision: changing one rolls the app, going back restores it.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	EnvFrom []corev1.EnvFromSource `json:"envFrom,omitempty"`

	// resources are the container's requests and limits. Left out, 100m of CPU and 128Mi of memory are
	// requested, so that autoscaling has a base.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`

	// imagePullSecrets are the Secrets with which the image is pulled.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// serviceAccountName is the ServiceAccount of the app's pods. Left out, "default" without a token.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="app.serviceAccountName must be the name of a ServiceAccount: lower-case letters, digits, '-' and '.'"
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// probes says how the kubelet asks the app how it is.
	// +optional
	Probes ProbesSpec `json:"probes,omitzero"`

	// metrics says where the app serves its metrics in the Prometheus text format. Left out, it
	// serves none.
	// +optional
	Metrics *MetricsSpec `json:"metrics,omitempty"`

	// migration is a command that prepares the database for a revision. It runs once per revision,
	// with the revision's image, before the revision gets a pod.
	// +optional
	Migration *MigrationSpec `json:"migration,omitempty"`

	// podTemplate is the escape hatch: a partial pod template (metadata and spec), laid over the
	// operator's own as a strategic merge patch. The app's container is called "app".
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	PodTemplate *apiextensionsv1.JSON `json:"podTemplate,omitempty"`
}

// ProbesSpec holds the app's three probes.
type ProbesSpec struct {
	// startup holds the other probes back until the app has started. Left out, it asks the liveness
	// path for up to 60 seconds.
	// +optional
	Startup *HTTPProbe `json:"startup,omitempty"`

	// readiness decides whether a pod gets traffic. Left out, it asks /readyz.
	// +optional
	Readiness *HTTPProbe `json:"readiness,omitempty"`

	// liveness decides whether a container is started anew. Left out, it asks /livez. It must not
	// depend on the database: that would start every pod anew when the database is away.
	// +optional
	Liveness *HTTPProbe `json:"liveness,omitempty"`
}

// HTTPProbe is an HTTP GET on the app's port; 2xx and 3xx are success.
type HTTPProbe struct {
	// path is what is asked, for example /readyz.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path,omitempty"`

	// periodSeconds is the time between two probes.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	PeriodSeconds *int32 `json:"periodSeconds,omitempty"`

	// timeoutSeconds is how long an answer may take.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=300
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// failureThreshold is how many failures in a row count as a failure.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	FailureThreshold *int32 `json:"failureThreshold,omitempty"`
}

// MetricsSpec is where the app serves its metrics.
type MetricsSpec struct {
	// path is the path of the metrics.
	// +optional
	// +kubebuilder:default=/metrics
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path,omitempty"`

	// port is the port of the metrics. Left out, the app's port.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port *int32 `json:"port,omitempty"`
}

// MigrationSpec is a command that prepares the database for a revision.
type MigrationSpec struct {
	// command is run in the revision's image with the app's environment, for example [/shop, migrate].
	// It must be safe to run again: a node can die while it runs.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`

	// timeoutSeconds is how long all tries of the migration may take together.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`

	// rollbackSafe says whether the revision before still works on the migrated database. "No" keeps a new
	// revision that fails while it has traffic where it is, until a person decides.
	// +optional
	// +kubebuilder:default=Yes
	RollbackSafe RollbackSafety `json:"rollbackSafe,omitempty"`
}

// RollbackSafety says whether an older revision works on a newer database.
// +kubebuilder:validation:Enum=Yes;No
type RollbackSafety string

// The values of rollbackSafe.
const (
	RollbackSafeYes RollbackSafety = "Yes"
	RollbackSafeNo  RollbackSafety = "No"
)
