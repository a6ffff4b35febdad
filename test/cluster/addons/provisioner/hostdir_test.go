package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func TestProvisionThenDelete(t *testing.T) {
	root := t.TempDir()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{corev1.LabelHostname: "host-1"}}}
	h, err := newHostDir(root, fake.NewClientset(node))
	if err != nil {
		t.Fatal(err)
	}
	reclaim := corev1.PersistentVolumeReclaimDelete
	o := controller.ProvisionOptions{
		PVName:           "pvc-1",
		SelectedNodeName: "n1",
		StorageClass:     &storagev1.StorageClass{ReclaimPolicy: &reclaim},
		PVC:              &corev1.PersistentVolumeClaim{},
	}
	pv, _, err := h.Provision(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0].Values[0]; got != "host-1" {
		t.Errorf("volume is bound to host %q, want host-1", got)
	}
	if err := os.WriteFile(filepath.Join(root, "pvc-1", "data"), nil, 0o600); err != nil {
		t.Fatalf("the volume's directory is not there: %v", err)
	}
	if err := h.Delete(context.Background(), pv); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "pvc-1")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there after Delete: %v", err)
	}
}

func TestProvisionWithoutNodeFails(t *testing.T) {
	h, _ := newHostDir(t.TempDir(), fake.NewClientset())
	if _, _, err := h.Provision(context.Background(), controller.ProvisionOptions{PVC: &corev1.PersistentVolumeClaim{}}); err == nil {
		t.Error("a volume was made although no node was selected")
	}
}

func TestDeleteRefusesPathsOutsideItsRoot(t *testing.T) {
	parent := t.TempDir()
	h, _ := newHostDir(filepath.Join(parent, "volumes"), fake.NewClientset())
	other := filepath.Join(parent, "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{other, h.root, filepath.Join(h.root, "..", "other")} {
		pv := &corev1.PersistentVolume{Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: path}},
		}}
		var ignored *controller.IgnoredError
		if err := h.Delete(context.Background(), pv); !errors.As(err, &ignored) {
			t.Errorf("Delete(%s) = %v, want it ignored", path, err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("Delete removed %s", path)
		}
	}
}
