package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ScalableAppStatus is the stack as it was last seen.
type ScalableAppStatus struct {
	// conditions say how the stack and each of its components is. Ready, Available and one condition
	// for each component are always there; Reconciling and Stalled only while they are True (the rules
	// of kstatus).
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that this status speaks of; -1 before the first
	// visit.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration"`

	// app is the app's pods, over all revisions.
	// +optional
	App AppStatus `json:"app,omitzero"`

	// rollout is where the rollout of the app stands.
	// +optional
	Rollout RolloutStatus `json:"rollout,omitzero"`

	// database is the state of the database that the operator runs.
	// +optional
	Database *DatabaseStatus `json:"database,omitempty"`

	// sessions is the state of the session store that the operator runs.
	// +optional
	Sessions *RedisStatus `json:"sessions,omitempty"`

	// cache is the state of the cache that the operator runs.
	// +optional
	Cache *RedisStatus `json:"cache,omitempty"`

	// credentials are those that were rotated, or are being so.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Credentials []CredentialStatus `json:"credentials,omitempty"`

	// rotation is what became of the last request for a rotation of credentials.
	// +optional
	Rotation *RotationStatus `json:"rotation,omitempty"`

	// endpoints are the addresses of the stack inside the cluster.
	// +optional
	Endpoints EndpointsStatus `json:"endpoints,omitzero"`
}

// AppStatus is the app's pods, over all revisions.
type AppStatus struct {
	// replicas is the number of pods.
	// +optional
	Replicas int32 `json:"replicas"`

	// readyReplicas is the number of pods that serve.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`

	// ready is "serving/wanted", for people.
	// +optional
	Ready string `json:"ready,omitempty"`

	// selector selects the app's pods; autoscalers read it through the scale subresource.
	// +optional
	Selector string `json:"selector,omitempty"`
}

// The stages of a rollout. The set is open: later versions add stages.
const (
	// StageWaiting: the new revision waits for something it needs, for example the data tier.
	StageWaiting = "Waiting"
	// StageMigrating: the migration of the new revision runs.
	StageMigrating = "Migrating"
	// StageProgressing: the new revision gets pods, is checked, gets traffic.
	StageProgressing = "Progressing"
	// StageAwaitingApproval: a person has to agree before the rollout goes on.
	StageAwaitingApproval = "AwaitingApproval"
	// StageInconclusive: a gate says nothing for longer than it may; the weight is kept until it does, or
	// a person decides.
	StageInconclusive = "Inconclusive"
	// StageHeld: the data tier is away; traffic stays where it is until it is back.
	StageHeld = "Held"
	// StageAborting: the new revision failed or was aborted; the traffic goes back.
	StageAborting = "Aborting"
	// StageStable: one revision runs, and it is the wanted one.
	StageStable = "Stable"
	// StagePaused: spec.paused is true and the rollout is not at its end.
	StagePaused = "Paused"
	// StageFailed: the new revision failed or was aborted (status.rollout.failure). The old revision serves.
	StageFailed = "Failed"
)

// RolloutStatus is where the rollout of the app stands.
type RolloutStatus struct {
	// stage is where the rollout stands: Waiting, Migrating, Progressing, AwaitingApproval, Inconclusive,
	// Held, Aborting, Paused, Stable or Failed. Later versions may add stages.
	// +optional
	Stage string `json:"stage,omitempty"`

	// stable is the revision that was last rolled out in full.
	// +optional
	Stable *RevisionStatus `json:"stable,omitempty"`

	// candidate is the revision that is to become the stable one.
	// +optional
	Candidate *RevisionStatus `json:"candidate,omitempty"`

	// previous is the revision that was stable before, as long as its pods are kept for an instant way
	// back (rollout.rollbackHoldSeconds).
	// +optional
	Previous *RevisionStatus `json:"previous,omitempty"`

	// undone is the revision that the spec asks for, while another runs because it was undone.
	// +optional
	Undone string `json:"undone,omitempty"`

	// weight is the share of the traffic that the candidate is to get, in percent; 100 when nothing is
	// rolled out. With the strategy Rolling it is the candidate's share of the serving pods.
	// +optional
	Weight *int32 `json:"weight,omitempty"`

	// actualWeight is the share of the traffic that the candidate gets, in percent: without a gateway its
	// share of the ready endpoints of the Service, with one the weight that was last seen in force.
	// +optional
	ActualWeight *int32 `json:"actualWeight,omitempty"`

	// step is the step that the rollout is at, from 1, and steps their number. The first step of BlueGreen
	// and Canary is that without traffic.
	// +optional
	Step int32 `json:"step,omitempty"`

	// steps is the number of steps.
	// +optional
	Steps int32 `json:"steps,omitempty"`

	// plan is the strategy and the weights of its steps, for example "Canary 0 10 50 100".
	// +optional
	Plan string `json:"plan,omitempty"`

	// fullTime is when a person had the rollout go on to its end past all steps and gates.
	// +optional
	FullTime *metav1.Time `json:"fullTime,omitempty"`

	// stepStartedTime is when all that the step asks for was in force: pods and traffic. Pauses and
	// gates count from here.
	// +optional
	StepStartedTime *metav1.Time `json:"stepStartedTime,omitempty"`

	// attempt counts the tries of this candidate, from 1: each retry, and each change of the steps,
	// begins a new one.
	// +optional
	Attempt int32 `json:"attempt,omitempty"`

	// reopened is how often the candidate lost pods that it had at this step.
	// +optional
	Reopened int32 `json:"reopened,omitempty"`

	// gates are the gates of this step.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Gates []GateStatus `json:"gates,omitempty"`

	// failure is why the candidate is given up. A new revision or a retry ends it.
	// +optional
	Failure *FailureStatus `json:"failure,omitempty"`

	// traffic is where traffic is led to.
	// +optional
	Traffic *TrafficStatus `json:"traffic,omitempty"`

	// demand is the greatest number of pods that was wanted since the rollout began: it does not shrink
	// while a rollout is under way.
	// +optional
	Demand int32 `json:"demand,omitempty"`

	// progressTime is when the candidate last made progress: the progress deadline counts from here.
	// +optional
	ProgressTime *metav1.Time `json:"progressTime,omitempty"`

	// drainTime is until when pods that lost their traffic are kept.
	// +optional
	DrainTime *metav1.Time `json:"drainTime,omitempty"`

	// holdTime is until when the pods of the previous revision are kept.
	// +optional
	HoldTime *metav1.Time `json:"holdTime,omitempty"`

	// handledAction is the last person's word (the annotation apps.scalableapp.dev/action) that was
	// carried out or refused.
	// +optional
	HandledAction string `json:"handledAction,omitempty"`

	// message says in words what the rollout does or waits for.
	// +optional
	Message string `json:"message,omitempty"`
}

// FailureStatus is why a candidate is given up.
type FailureStatus struct {
	// reason is a CamelCase word, for example GateFailed.
	// +optional
	Reason string `json:"reason,omitempty"`

	// message says it in words.
	// +optional
	Message string `json:"message,omitempty"`

	// forcedTime is when a person had the app go back at once, even over a migration that is not
	// rollbackSafe.
	// +optional
	ForcedTime *metav1.Time `json:"forcedTime,omitempty"`

	// time is when it failed.
	// +optional
	Time metav1.Time `json:"time,omitzero"`
}

// The verdicts of gates.
const (
	// VerdictPending: not enough samples yet.
	VerdictPending = "Pending"
	// VerdictPass: enough good samples.
	VerdictPass = "Pass"
	// VerdictFail: more bad samples than are tolerated.
	VerdictFail = "Fail"
	// VerdictInconclusive: more samples that say nothing than are tolerated. It is never a pass.
	VerdictInconclusive = "Inconclusive"
)

// GateStatus is how a gate stands at this step.
type GateStatus struct {
	// name is the gate's name.
	// +required
	Name string `json:"name,omitempty"`

	// verdict is Pending, Pass, Fail or Inconclusive.
	// +optional
	Verdict string `json:"verdict,omitempty"`

	// value is what the last sample was.
	// +optional
	Value string `json:"value,omitempty"`

	// limit is what it was held against.
	// +optional
	Limit string `json:"limit,omitempty"`

	// reason says in words how the last sample came about: the error of a source, or the lack of data.
	// +optional
	Reason string `json:"reason,omitempty"`

	// successes is the number of good samples.
	// +optional
	Successes int32 `json:"successes,omitempty"`

	// failures is the number of bad samples.
	// +optional
	Failures int32 `json:"failures,omitempty"`

	// inconclusives is the number of samples in a row that said nothing.
	// +optional
	Inconclusives int32 `json:"inconclusives,omitempty"`

	// sampledTime is when the last sample was taken.
	// +optional
	SampledTime *metav1.Time `json:"sampledTime,omitempty"`
}

// TrafficStatus is where traffic is led to. It is stored before it is written to the Service or the
// HTTPRoute.
type TrafficStatus struct {
	// service is the revision that the app's Service leads to; empty means the pods of all revisions.
	// +optional
	Service string `json:"service,omitempty"`

	// backends are the revisions that get traffic, or may still get some.
	// +optional
	// +listType=map
	// +listMapKey=revision
	// +kubebuilder:validation:MaxItems=16
	Backends []BackendStatus `json:"backends,omitempty"`

	// inForceTime is when this was first seen in force, as far as the API server can tell; proxies follow
	// within traffic.settleSeconds.
	// +optional
	InForceTime *metav1.Time `json:"inForceTime,omitempty"`

	// settledTime is since when all proxies follow: the highest weights are the weights.
	// +optional
	SettledTime *metav1.Time `json:"settledTime,omitempty"`
}

// BackendStatus is the share of the traffic of a revision.
type BackendStatus struct {
	// revision is the revision's name.
	// +required
	Revision string `json:"revision,omitempty"`

	// weight is its share, in percent. Where traffic follows the pods of all revisions, it is the share
	// aimed at.
	// +optional
	Weight int32 `json:"weight"`

	// highest is the greatest share that a proxy may still give it.
	// +optional
	Highest int32 `json:"highest"`
}

// RevisionStatus is one revision of the app.
type RevisionStatus struct {
	// revision is the name of the revision's ControllerRevision, Deployment and Service.
	// +optional
	Revision string `json:"revision,omitempty"`

	// number counts the app's revisions, from 1.
	// +optional
	Number int64 `json:"number,omitempty"`

	// image is the revision's image.
	// +optional
	Image string `json:"image,omitempty"`

	// replicas is the number of the revision's pods.
	// +optional
	Replicas int32 `json:"replicas"`

	// availableReplicas is the number of the revision's pods that serve.
	// +optional
	AvailableReplicas int32 `json:"availableReplicas"`

	// peakReplicas is the most pods of this revision that ever served at once in this rollout; a new
	// peak is progress.
	// +optional
	PeakReplicas int32 `json:"peakReplicas,omitempty"`
}

// EndpointsStatus are the addresses of the stack inside the cluster, as HOST:PORT.
type EndpointsStatus struct {
	// app is the app's Service.
	// +optional
	App string `json:"app,omitempty"`

	// preview leads to the candidate, whatever its share of the traffic is.
	// +optional
	Preview string `json:"preview,omitempty"`

	// databaseReadWrite leads to the primary.
	// +optional
	DatabaseReadWrite string `json:"databaseReadWrite,omitempty"`

	// databaseReadOnly leads to the replicas, or to the primary while none is ready.
	// +optional
	DatabaseReadOnly string `json:"databaseReadOnly,omitempty"`

	// sessions leads to the session store.
	// +optional
	Sessions string `json:"sessions,omitempty"`

	// cache leads to the cache.
	// +optional
	Cache string `json:"cache,omitempty"`
}
