package v1alpha1

// TrafficSpec says how traffic reaches the app.
type TrafficSpec struct {
	// gateway leads traffic to the app through a Gateway (gateway.networking.k8s.io), by an HTTPRoute
	// that the operator owns: then weights are exact. Left out, the app has one Service, and weights are
	// numbers of pods.
	// +optional
	Gateway *GatewaySpec `json:"gateway,omitempty"`

	// settleSeconds is how long after a change was accepted proxies may still follow the rule before; no
	// step counts and no pod goes until then.
	// +optional
	// +kubebuilder:default=5
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=300
	SettleSeconds *int32 `json:"settleSeconds,omitempty"`
}

// GatewaySpec is the way through a Gateway.
type GatewaySpec struct {
	// parentRefs are the Gateways.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	ParentRefs []GatewayRef `json:"parentRefs,omitempty"`

	// hostnames are the host names of the app, for example shop.example. Left out, all that the Gateway
	// listens for.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Hostnames []string `json:"hostnames,omitempty"`
}

// GatewayRef names a Gateway, or one listener of it.
type GatewayRef struct {
	// name is the Gateway's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// namespace is the Gateway's namespace. Left out, the app's. The Gateway's owner decides in
	// allowedRoutes which namespaces may use it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// sectionName is one listener of the Gateway. Left out, all.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	SectionName string `json:"sectionName,omitempty"`
}
