package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ScalableApp is a stateless app together with everything it needs to grow: a database with
// replicas, a session store, a cache, autoscaling, and a way to release new versions. One object,
// one Ready.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.app.replicas,statuspath=.status.app.replicas,selectorpath=.status.app.selector
// +kubebuilder:resource:scope=Namespaced,path=scalableapps,singular=scalableapp,shortName=sapp,categories=scalableapps
// +kubebuilder:printcolumn:name="Image",type=string,JSONPath=`.spec.app.image`
// +kubebuilder:printcolumn:name="Strategy",type=string,JSONPath=`.spec.rollout.strategy`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.status.rollout.stage`
// +kubebuilder:printcolumn:name="Weight",type=integer,JSONPath=`.status.rollout.weight`
// +kubebuilder:printcolumn:name="App",type=string,JSONPath=`.status.app.ready`
// +kubebuilder:printcolumn:name="DB",type=string,JSONPath=`.status.conditions[?(@.type=="DatabaseReady")].status`
// +kubebuilder:printcolumn:name="Sessions",type=string,JSONPath=`.status.conditions[?(@.type=="SessionsReady")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Revision",type=string,priority=1,JSONPath=`.status.rollout.stable.revision`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name must be at most 40 characters long: the names of the children (NAME-REVISION-migrate) are built from it; choose a shorter name"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must start with a letter and hold only lower-case letters, digits and '-': a Service is named after it; choose another name"
type ScalableApp struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the stack as it shall be.
	// +required
	Spec ScalableAppSpec `json:"spec,omitzero"`

	// status is the stack as it was last seen.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status ScalableAppStatus `json:"status,omitzero"`
}

// ScalableAppSpec is the stack as it shall be.
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.database) || has(self.database)",message="database cannot be removed from a live app, since its data would go with it: put it back, or create a new ScalableApp without a database and delete this one"
type ScalableAppSpec struct {
	// app is the stateless application: its image and how to run it.
	// +required
	App AppSpec `json:"app,omitzero"`

	// sessions says where user sessions live. Left out, there is no session store.
	// +optional
	Sessions *SessionsSpec `json:"sessions,omitempty"`

	// cache is a cache that takes reads off the database. Left out, there is none.
	// +optional
	Cache *CacheSpec `json:"cache,omitempty"`

	// database is the app's database: one that the operator runs, or one that exists already. Left
	// out, there is none.
	// +optional
	Database *DatabaseSpec `json:"database,omitempty"`

	// autoscaling lets the number of app replicas follow the load. Left out, app.replicas stands.
	// +optional
	Autoscaling *AutoscalingSpec `json:"autoscaling,omitempty"`

	// rollout says how a new revision of the app takes over.
	// +optional
	// +kubebuilder:default={}
	Rollout RolloutSpec `json:"rollout,omitzero"`

	// traffic says how traffic reaches the app.
	// +optional
	// +kubebuilder:default={}
	Traffic TrafficSpec `json:"traffic,omitzero"`

	// networkPolicy says whether NetworkPolicies close the data tier to everything but this app.
	// +optional
	// +kubebuilder:default=Enabled
	NetworkPolicy NetworkPolicyMode `json:"networkPolicy,omitempty"`

	// paused stops the operator from changing anything for this app; status is still kept true.
	// +optional
	Paused *bool `json:"paused,omitempty"`
}

// NetworkPolicyMode says whether the operator writes NetworkPolicies.
// +kubebuilder:validation:Enum=Enabled;Disabled
type NetworkPolicyMode string

// The modes of networkPolicy.
const (
	// NetworkPolicyEnabled lets only the app, its migration and the operator reach the data tier.
	NetworkPolicyEnabled NetworkPolicyMode = "Enabled"
	// NetworkPolicyDisabled writes no policy, but for the one that a restore needs out of an app that has policies.
	NetworkPolicyDisabled NetworkPolicyMode = "Disabled"
)

// ScalableAppList is a list of ScalableApps.
//
// +kubebuilder:object:root=true
type ScalableAppList struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard list's metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitzero"`

	// items are the ScalableApps.
	Items []ScalableApp `json:"items"`
}
