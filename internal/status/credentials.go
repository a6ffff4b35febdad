package status

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
)

// Rotation is what was decided about the rotations of an app's credentials.
type Rotation struct {
	Decisions []rotation.Decision
	// Handled is the request that was heard, and Refused says why it is not carried out, if it is not.
	Handled, Refused string
}

// credentials are those that are rotated, or once were.
func credentials(in Input) []v1alpha1.CredentialStatus {
	var list []v1alpha1.CredentialStatus
	for _, d := range in.Rotation.Decisions {
		if d.Phase == "" {
			continue
		}
		c := v1alpha1.CredentialStatus{
			Name: d.Name, Phase: d.Phase, Token: d.Token, TakenToken: d.Record.Taken, Message: rotationMessage(d),
		}
		if !d.Record.Rotated.IsZero() {
			c.LastRotatedTime = new(metav1.NewTime(d.Record.Rotated))
		}
		list = append(list, c)
	}
	return list
}

func rotationMessage(d rotation.Decision) string {
	if d.Slow {
		return d.Message + runbook("rotation-stands-still")
	}
	return d.Message
}

func rotationStatus(in Input) *v1alpha1.RotationStatus {
	if in.Rotation.Handled == "" {
		return nil
	}
	return &v1alpha1.RotationStatus{HandledRequest: in.Rotation.Handled, RefusedMessage: in.Rotation.Refused}
}

// rotated is not a condition of its own: it is the rotations' share in Ready.
func rotated(in Input) verdict {
	for _, d := range in.Rotation.Decisions {
		if d.Phase != "" && d.Phase != rotation.PhaseDone {
			return verdict{reason: v1alpha1.ReasonRotating,
				message: fmt.Sprintf("credentials are rotated: %s (%s): %s", d.Name, d.Phase, rotationMessage(d))}
		}
	}
	return verdict{ok: true}
}
