package redistopology

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Volume is a member's volume claim.
type Volume struct {
	Name string
	// Requested is what the claim asks for, Wanted what the spec asks for, Capacity what it has.
	Requested, Wanted, Capacity resource.Quantity
	// Fixed is why the volume cannot grow, in words; "" is nothing.
	Fixed string
	// Trouble is what who tried to grow it said last; "" is nothing.
	Trouble string
}

// growVolumes has the claims ask for the wanted size, and once all do, has the StatefulSet made anew: its
// template of volumes, which new members follow, cannot be changed. If one volume cannot grow, none is touched.
func growVolumes(g Group) Step {
	for _, v := range g.Volumes {
		if v.Fixed != "" && v.Requested.Cmp(v.Wanted) < 0 {
			return Step{}
		}
	}
	for _, v := range g.Volumes {
		if v.Requested.Cmp(v.Wanted) < 0 {
			return Step{Kind: Grow, Member: v.Name, Why: fmt.Sprintf("it grows from %s to %s", v.Requested.String(), v.Wanted.String())}
		}
	}
	if g.OldSet {
		return Step{Kind: Renew, Why: "the StatefulSet is made anew with the new size of volumes; its pods stay"}
	}
	return Step{}
}

// Trouble is what keeps a volume from growing until a person helps, in words; "" is nothing.
func Trouble(g Group) string {
	for _, v := range g.Volumes {
		switch {
		case v.Fixed != "" && v.Requested.Cmp(v.Wanted) < 0:
			return fmt.Sprintf("%s cannot grow from %s to %s: %s", v.Name, v.Requested.String(), v.Wanted.String(), v.Fixed)
		case v.Trouble != "" && v.Capacity.Cmp(v.Requested) < 0:
			return fmt.Sprintf("%s does not grow from %s to %s: %s", v.Name, v.Capacity.String(), v.Requested.String(), v.Trouble)
		}
	}
	return ""
}
