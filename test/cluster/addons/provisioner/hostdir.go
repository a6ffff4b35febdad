package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// hostDir provisions volumes as directories below root.
type hostDir struct {
	root   string
	client kubernetes.Interface
}

func newHostDir(root string, client kubernetes.Interface) (*hostDir, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("the volume directory %q is not an absolute path", root)
	}
	return &hostDir{root: root, client: client}, os.MkdirAll(root, 0o755)
}

// Provision makes the directory and describes it as a local volume. Local rather than hostPath:
// kubelet applies fsGroup to local volumes only, and pods that do not run as root need it.
func (h *hostDir) Provision(ctx context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	if o.SelectedNodeName == "" {
		return nil, controller.ProvisioningFinished, errors.New("no node selected: the storage class needs volumeBindingMode WaitForFirstConsumer")
	}
	if mode := o.PVC.Spec.VolumeMode; mode != nil && *mode != corev1.PersistentVolumeFilesystem {
		return nil, controller.ProvisioningFinished, fmt.Errorf("volume mode %s is not supported", *mode)
	}
	node, err := h.client.CoreV1().Nodes().Get(ctx, o.SelectedNodeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, controller.ProvisioningReschedule, err
	}
	if err != nil {
		return nil, controller.ProvisioningNoChange, err
	}
	path := filepath.Join(h.root, o.PVName)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	pv := volume(o, path, node.Labels[corev1.LabelHostname])
	if sized(o.StorageClass.Parameters) {
		if err := mount(ctx, path, pv.Spec.Capacity[corev1.ResourceStorage]); err != nil {
			return nil, controller.ProvisioningFinished, err
		}
		pv.Annotations = map[string]string{sizedParameter: "true"}
	}
	return pv, controller.ProvisioningFinished, nil
}

func volume(o controller.ProvisionOptions, path, hostname string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			MountOptions:                  o.StorageClass.MountOptions,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{
						Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{hostname},
					}},
				}},
			}},
		},
	}
}

// Delete removes the volume's directory with everything in it.
func (h *hostDir) Delete(ctx context.Context, pv *corev1.PersistentVolume) error {
	if pv.Spec.Local == nil {
		return &controller.IgnoredError{Reason: "not a local volume"}
	}
	path := filepath.Clean(pv.Spec.Local.Path)
	if filepath.Dir(path) != h.root {
		// An edited PV must not make this process delete something else.
		return &controller.IgnoredError{Reason: fmt.Sprintf("%s is not directly below %s", path, h.root)}
	}
	if err := unmount(ctx, path); err != nil {
		return err
	}
	return os.RemoveAll(path)
}
