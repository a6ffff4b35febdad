package v1alpha1

// GateSpec is a check that a new revision must pass.
// +kubebuilder:validation:XValidation:rule="[has(self.http), has(self.metric), has(self.job), has(self.webhook)].filter(x, x).size() == 1",message="a gate has exactly one source: set one of http, metric, job and webhook"
// +kubebuilder:validation:XValidation:rule="!has(self.metric) || !has(self.when) || self.when == 'WithTraffic'",message="a metric gate needs traffic: leave out when, or set it to WithTraffic"
type GateSpec struct {
	// name names the gate in status and events.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="a gate's name must start with a letter and hold only lower-case letters, digits and '-'"
	Name string `json:"name,omitempty"`

	// when says whether the gate is asked before the new revision gets traffic, or while it has traffic,
	// at every step. Left out: BeforeTraffic for http and job, WithTraffic for metric and webhook.
	// +optional
	When GateTime `json:"when,omitempty"`

	// http asks a path of a pod of the new revision, through its preview Service.
	// +optional
	HTTP *HTTPGate `json:"http,omitempty"`

	// metric looks at a number that tells how the new revision does.
	// +optional
	Metric *MetricGate `json:"metric,omitempty"`

	// job runs a Job that must succeed, for example a smoke test.
	// +optional
	Job *JobGate `json:"job,omitempty"`

	// webhook asks a URL; 2xx is yes, 429 and 5xx are no answer, everything else is no.
	// +optional
	Webhook *WebhookGate `json:"webhook,omitempty"`

	// periodSeconds is the time between two samples.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	PeriodSeconds *int32 `json:"periodSeconds,omitempty"`

	// samples is how many good samples let the gate pass. A job is one sample.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Samples *int32 `json:"samples,omitempty"`

	// failureLimit is how many bad samples are tolerated; one more and the gate fails.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	FailureLimit *int32 `json:"failureLimit,omitempty"`

	// inconclusiveLimit is how many samples in a row may say nothing (no data, too few requests, a source
	// that does not answer) before onInconclusive is done.
	// +optional
	// +kubebuilder:default=6
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	InconclusiveLimit *int32 `json:"inconclusiveLimit,omitempty"`

	// onInconclusive is what is done when a gate says nothing for too long: Pause keeps the weight until
	// data comes or a person decides; Abort goes back.
	// +optional
	// +kubebuilder:default=Pause
	OnInconclusive InconclusiveAction `json:"onInconclusive,omitempty"`
}

// GateTime is when a gate is asked.
// +kubebuilder:validation:Enum=BeforeTraffic;WithTraffic
type GateTime string

// The times of gates.
const (
	// GateBeforeTraffic gates are asked once, before the new revision gets traffic.
	GateBeforeTraffic GateTime = "BeforeTraffic"
	// GateWithTraffic gates are asked anew at every step that gives the new revision traffic.
	GateWithTraffic GateTime = "WithTraffic"
)

// Time is when the gate is asked, with the default of its kind.
func (g *GateSpec) Time() GateTime {
	switch {
	case g.When != "":
		return g.When
	case g.HTTP != nil, g.Job != nil:
		return GateBeforeTraffic
	default:
		return GateWithTraffic
	}
}

// InconclusiveAction is what is done when a gate says nothing.
// +kubebuilder:validation:Enum=Pause;Abort
type InconclusiveAction string

// The actions of onInconclusive.
const (
	InconclusivePause InconclusiveAction = "Pause"
	InconclusiveAbort InconclusiveAction = "Abort"
)

// HTTPGate is an HTTP GET; 2xx and 3xx are good.
type HTTPGate struct {
	// path is what is asked, for example /selftest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:Pattern=`^/`
	Path string `json:"path,omitempty"`

	// timeoutSeconds is how long an answer may take.
	// +optional
	// +kubebuilder:default=2
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}

// MetricSource is where a metric comes from.
// +kubebuilder:validation:Enum=Pods;Prometheus
type MetricSource string

// The sources of metrics.
const (
	// MetricSourcePods reads the pods' own metrics (app.metrics); nothing has to be installed.
	MetricSourcePods MetricSource = "Pods"
	// MetricSourcePrometheus asks a Prometheus.
	MetricSourcePrometheus MetricSource = "Prometheus"
)

// MetricIndicator is what is made of the pods' metrics.
// +kubebuilder:validation:Enum=ErrorRatio;LatencyQuantile
type MetricIndicator string

// The indicators.
const (
	// MetricErrorRatio is the share of requests answered with 5xx, 0 to 1.
	MetricErrorRatio MetricIndicator = "ErrorRatio"
	// MetricLatencyQuantile is a quantile of the time that answers take, in seconds.
	MetricLatencyQuantile MetricIndicator = "LatencyQuantile"
)

// MetricGate looks at a number. A sample is good when the number is not above its limits.
// +kubebuilder:validation:XValidation:rule="has(self.max) || has(self.maxRatioToStable)",message="a metric gate needs a limit: set metric.max, metric.maxRatioToStable, or both"
// +kubebuilder:validation:XValidation:rule="self.source == 'Prometheus' ? has(self.prometheus) : !has(self.prometheus)",message="metric.prometheus belongs to source Prometheus: set metric.source to Prometheus and metric.prometheus together, or neither"
// +kubebuilder:validation:XValidation:rule="self.source == 'Prometheus' ? !has(self.indicator) : has(self.indicator)",message="metric.indicator belongs to source Pods, where it is required: ErrorRatio or LatencyQuantile"
type MetricGate struct {
	// source is where the number comes from.
	// +optional
	// +kubebuilder:default=Pods
	Source MetricSource `json:"source,omitempty"`

	// indicator is what is made of the pods' metrics: ErrorRatio or LatencyQuantile.
	// +optional
	Indicator MetricIndicator `json:"indicator,omitempty"`

	// quantile is the quantile of LatencyQuantile, for example "0.99", which is the default.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self.matches('^0[.][0-9]+$')",message="metric.quantile must be a number between 0 and 1 such as \"0.99\""
	Quantile string `json:"quantile,omitempty"`

	// max is the greatest good value, for example "0.01" for one error in a hundred requests, or "0.5" for
	// half a second.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+([.][0-9]+)?$')",message="metric.max must be a number such as \"0.01\""
	Max string `json:"max,omitempty"`

	// maxRatioToStable is how many times the stable revision's value of the same time is still good, for
	// example "1.5".
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]+([.][0-9]+)?$')",message="metric.maxRatioToStable must be a number such as \"1.5\""
	MaxRatioToStable string `json:"maxRatioToStable,omitempty"`

	// minRequests is how many requests a sample of source Pods needs to say anything.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	MinRequests *int32 `json:"minRequests,omitempty"`

	// requests names the counter of requests in the pods' metrics, and its label with the HTTP status.
	// +optional
	// +kubebuilder:default={}
	Requests RequestsMetric `json:"requests,omitzero"`

	// latency names the histogram of latencies in the pods' metrics.
	// +optional
	// +kubebuilder:default="http_request_duration_seconds"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Latency string `json:"latency,omitempty"`

	// prometheus is what a Prometheus is asked.
	// +optional
	Prometheus *PrometheusQuery `json:"prometheus,omitempty"`
}

// RequestsMetric names a counter of requests.
type RequestsMetric struct {
	// name is the counter's name.
	// +optional
	// +kubebuilder:default="http_requests_total"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// codeLabel is the label that holds the HTTP status.
	// +optional
	// +kubebuilder:default="code"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	CodeLabel string `json:"codeLabel,omitempty"`
}

// PrometheusQuery is what a Prometheus is asked.
type PrometheusQuery struct {
	// address is the URL of the Prometheus, for example http://prometheus.monitoring:9090.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https']",message="metric.prometheus.address must be a URL such as http://prometheus.monitoring:9090"
	Address string `json:"address,omitempty"`

	// query is PromQL whose result is one number. $(revision), $(namespace), $(app) and $(window) stand
	// for the revision that is asked about, the app's namespace and name, and the time for which the weight
	// has been in force, for example 40s. With maxRatioToStable it is asked a second time, with the stable
	// revision.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Query string `json:"query,omitempty"`
}

// JobGate is a Job. It finds the new revision's address in the variable PREVIEW_URL and the app's name
// and revision in APP_NAME and APP_REVISION.
type JobGate struct {
	// image is the Job's image. Left out, the new revision's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image,omitempty"`

	// command is what is run.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=4096
	Command []string `json:"command,omitempty"`

	// timeoutSeconds is how long the Job may take.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}

// WebhookGate is an HTTP POST of {"namespace", "app", "revision", "image", "step", "weight"} as JSON.
type WebhookGate struct {
	// url is what is asked.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https']",message="webhook.url must be a URL such as https://deploy.example/may-go-on"
	URL string `json:"url,omitempty"`

	// timeoutSeconds is how long an answer may take.
	// +optional
	// +kubebuilder:default=3
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10
	TimeoutSeconds *int32 `json:"timeoutSeconds,omitempty"`
}
