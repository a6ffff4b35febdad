package components

import (
	"crypto/sha256"
	"encoding/hex"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// dataUser is the uid and gid in the operand images, and the group of their volumes.
const dataUser = 999

// dataVolume is the volume claim template of the data tier's StatefulSets.
const dataVolume = "data"

// annotationConfig on a pod template makes the pods restart when the configuration they were started
// with is no longer the wanted one.
const annotationConfig = "apps.scalableapp.dev/config"

func checksum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// dataPodSecurity is restrictedPod with the images' user. OnRootMismatch because a recursive chown of a
// large volume would hold up each start.
func dataPodSecurity() *corev1ac.PodSecurityContextApplyConfiguration {
	return restrictedPod().
		WithRunAsUser(dataUser).
		WithRunAsGroup(dataUser).
		WithFSGroup(dataUser).
		WithFSGroupChangePolicy(corev1.FSGroupChangeOnRootMismatch)
}

// dataContainerSecurity is restrictedContainer with nothing writable but the mounts.
func dataContainerSecurity() *corev1ac.SecurityContextApplyConfiguration {
	return restrictedContainer().WithReadOnlyRootFilesystem(true)
}

// dataClaim is a volume claim template. Its labels end up on the claims, which outlive the app.
func dataClaim(storage v1alpha1.StorageSpec, labels map[string]string) *corev1ac.PersistentVolumeClaimApplyConfiguration {
	claim := (&corev1ac.PersistentVolumeClaimApplyConfiguration{}).
		WithName(dataVolume).
		WithLabels(labels).
		WithSpec(corev1ac.PersistentVolumeClaimSpec().
			WithAccessModes(corev1.ReadWriteOnce).
			WithResources(corev1ac.VolumeResourceRequirements().
				WithRequests(corev1.ResourceList{corev1.ResourceStorage: storage.Size})))
	if storage.StorageClassName != nil {
		claim.Spec.WithStorageClassName(*storage.StorageClassName)
	}
	return claim
}

func servicePort(name string, port int32) *corev1ac.ServicePortApplyConfiguration {
	return corev1ac.ServicePort().
		WithName(name).
		WithPort(port).
		WithTargetPort(intstr.FromString(name)).
		WithProtocol(corev1.ProtocolTCP)
}

func containerPort(name string, port int32) *corev1ac.ContainerPortApplyConfiguration {
	return corev1ac.ContainerPort().WithName(name).WithContainerPort(port).WithProtocol(corev1.ProtocolTCP)
}

func secretEnv(name, secret, key string) *corev1ac.EnvVarApplyConfiguration {
	return corev1ac.EnvVar().WithName(name).WithValueFrom(corev1ac.EnvVarSource().
		WithSecretKeyRef(corev1ac.SecretKeySelector().WithName(secret).WithKey(key)))
}

func matchLabels(labels map[string]string) *metav1ac.LabelSelectorApplyConfiguration {
	return metav1ac.LabelSelector().WithMatchLabels(labels)
}

// share is percent of a quantity, in bytes. It divides first, so that no size can overflow.
func share(quantity resource.Quantity, percent int64) int64 {
	value := quantity.Value()
	return value/100*percent + value%100*percent/100
}
