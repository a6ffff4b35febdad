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
	// StageProgressing: pods of the new revision replace those of the old one.
	StageProgressing = "Progressing"
	// StageStable: one revision runs, and it is the wanted one.
	StageStable = "Stable"
	// StagePaused: spec.paused is true and the rollout is not at its end.
	StagePaused = "Paused"
	// StageFailed: the new revision made no progress within the deadline, or its migration failed. The
	// old revision serves.
	StageFailed = "Failed"
)

// RolloutStatus is where the rollout of the app stands.
type RolloutStatus struct {
	// stage is where the rollout stands: Waiting, Migrating, Progressing, Paused, Stable or Failed.
	// Later versions may add stages.
	// +optional
	Stage string `json:"stage,omitempty"`

	// stable is the revision that was last rolled out in full.
	// +optional
	Stable *RevisionStatus `json:"stable,omitempty"`

	// candidate is the revision that is to become the stable one.
	// +optional
	Candidate *RevisionStatus `json:"candidate,omitempty"`

	// undone is the revision that the spec asks for, while another runs because it was undone.
	// +optional
	Undone string `json:"undone,omitempty"`

	// weight is the share of the traffic that the candidate gets, in percent; 100 when nothing is
	// rolled out. With the strategy Rolling it is the candidate's share of the serving pods.
	// +optional
	Weight *int32 `json:"weight,omitempty"`

	// progressTime is when the candidate last made progress: the progress deadline counts from here.
	// +optional
	ProgressTime *metav1.Time `json:"progressTime,omitempty"`

	// message says in words what the rollout does or waits for.
	// +optional
	Message string `json:"message,omitempty"`
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

// DatabaseStatus is the state of the database that the operator runs.
type DatabaseStatus struct {
	// primary is the pod that takes the writes.
	// +optional
	Primary string `json:"primary,omitempty"`

	// instances is the wanted number of instances.
	// +optional
	Instances int32 `json:"instances"`

	// readyInstances is the number of instances that answer and, if replicas, follow the primary.
	// +optional
	ReadyInstances int32 `json:"readyInstances"`

	// synchronous are the standbys that hold every acknowledged commit.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=9
	Synchronous []string `json:"synchronous,omitempty"`
}

// EndpointsStatus are the addresses of the stack inside the cluster, as HOST:PORT.
type EndpointsStatus struct {
	// app is the app's Service.
	// +optional
	App string `json:"app,omitempty"`

	// databaseReadWrite leads to the primary.
	// +optional
	DatabaseReadWrite string `json:"databaseReadWrite,omitempty"`

	// databaseReadOnly leads to the replicas, or to the primary when there is one instance.
	// +optional
	DatabaseReadOnly string `json:"databaseReadOnly,omitempty"`

	// sessions leads to the session store.
	// +optional
	Sessions string `json:"sessions,omitempty"`

	// cache leads to the cache.
	// +optional
	Cache string `json:"cache,omitempty"`
}
