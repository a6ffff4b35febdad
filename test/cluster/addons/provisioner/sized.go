package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

// sizedParameter, in a storage class, asks for volumes that are as large as they say and no larger, and that can
// grow: file systems in memory, which a full disk and its growth can be tried on.
const sizedParameter = "sized"

func sized(class map[string]string) bool { return class[sizedParameter] == "true" }

func mount(ctx context.Context, path string, size resource.Quantity) error {
	return command(ctx, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=0755", size.Value()), "tmpfs", path)
}

func grow(ctx context.Context, path string, size resource.Quantity) error {
	return command(ctx, "mount", "-o", fmt.Sprintf("remount,size=%d", size.Value()), path)
}

// unmount ends a volume's file system; a path that is none is left alone.
func unmount(ctx context.Context, path string) error {
	if command(ctx, "mountpoint", "-q", path) != nil {
		return nil
	}
	return command(ctx, "umount", path)
}

func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// resizer grows volumes whose claims ask for more, as a CSI driver's does.
type resizer struct {
	volumes *hostDir
}

// watch looks every second until the context ends. The API server has refused what the class does not allow.
func (r *resizer) watch(ctx context.Context) {
	for {
		if err := r.pass(ctx); err != nil && ctx.Err() == nil {
			klog.ErrorS(err, "volumes were not resized")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

func (r *resizer) pass(ctx context.Context) error {
	volumes, err := r.volumes.client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	var errs []error
	for i := range volumes.Items {
		pv := &volumes.Items[i]
		if pv.Annotations[sizedParameter] == "true" && pv.Spec.ClaimRef != nil && pv.Status.Phase == corev1.VolumeBound {
			errs = append(errs, r.volume(ctx, pv))
		}
	}
	return errors.Join(errs...)
}

// volume grows one volume, then tells of it: first the volume, then the claim.
func (r *resizer) volume(ctx context.Context, pv *corev1.PersistentVolume) error {
	core := r.volumes.client.CoreV1()
	claim, err := core.PersistentVolumeClaims(pv.Spec.ClaimRef.Namespace).Get(ctx, pv.Spec.ClaimRef.Name, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	wanted, has := claim.Spec.Resources.Requests[corev1.ResourceStorage], claim.Status.Capacity[corev1.ResourceStorage]
	if wanted.Cmp(has) <= 0 {
		return nil
	}
	if err := grow(ctx, pv.Spec.Local.Path, wanted); err != nil {
		return err
	}
	capacity := fmt.Appendf(nil, `{"spec":{"capacity":{"storage":%q}}}`, wanted.String())
	if _, err := core.PersistentVolumes().Patch(ctx, pv.Name, types.MergePatchType, capacity, metav1.PatchOptions{}); err != nil {
		return err
	}
	status := fmt.Appendf(nil, `{"status":{"capacity":{"storage":%q}}}`, wanted.String())
	_, err = core.PersistentVolumeClaims(claim.Namespace).Patch(ctx, claim.Name, types.MergePatchType, status, metav1.PatchOptions{}, "status")
	return err
}
