package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/patroni"
)

// Patroni does what only it may do.
type Patroni interface {
	Switchover(ctx context.Context, m patroni.Member, leader, candidate string) error
	Restart(ctx context.Context, m patroni.Member) error
	// Alive says whether a member's Patroni answers.
	Alive(ctx context.Context, host string) bool
}

// ActionError is an action that was tried and failed.
type ActionError struct {
	Action action.Action
	Err    error
}

func (e *ActionError) Error() string { return fmt.Sprintf("%s: %v", e.Action, e.Err) }
func (e *ActionError) Unwrap() error { return e.Err }

// actions carries out what is done to the data tier, in order. Each looks at the live objects that it is
// about first: a cache may lag, and what is done cannot be undone.
func (x *Executor) actions(ctx context.Context, app *v1alpha1.ScalableApp, list []action.Action) error {
	var errs []error
	for _, a := range list {
		log.FromContext(ctx).Info("Acting", "action", a.String())
		err := x.action(ctx, app, a)
		if err == nil {
			continue
		}
		if changesDatabase(app, a) {
			err = &ActionError{Action: a, Err: err} // such a change has its tries counted
		} else {
			err = fmt.Errorf("%s: %w", a, err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// changesDatabase says whether an action is one of internal/database's changes.
func changesDatabase(app *v1alpha1.ScalableApp, a action.Action) bool {
	switch a := a.(type) {
	case action.PoolerReconnect, action.HandOverRedis, action.Unlabel, action.ReleaseLeader, action.TellCredentials,
		action.LoadRedisUsers, action.ForgetFirstStart:
		return false
	case action.GrowVolume:
		claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: a.Claim}}
		return len(components.VolumesOf([]*corev1.PersistentVolumeClaim{claim}, naming.Database(app))) > 0
	case action.OrphanSet:
		return a.Name == naming.Database(app)
	default:
		return true
	}
}

func (x *Executor) action(ctx context.Context, app *v1alpha1.ScalableApp, a action.Action) error {
	switch a := a.(type) {
	case action.DeletePod:
		return x.deletePod(ctx, app, a)
	case action.Unlabel:
		return x.unlabel(ctx, app, a)
	case action.ReleaseLeader:
		return x.releaseLeader(ctx, app, a)
	case action.ForgetFirstStart:
		return x.forgetFirstStart(ctx, app, a)
	case action.GrowVolume:
		return x.growVolume(ctx, app, a)
	case action.OrphanSet:
		return x.orphanSet(ctx, app, a)
	case action.ResizePod:
		return x.resizePod(ctx, app, a)
	case action.Switchover:
		return x.switchover(ctx, app, a)
	case action.ForceFailover:
		return x.forceFailover(ctx, app, a)
	case action.RestartPostgres:
		return x.restartPostgres(ctx, app, a)
	case action.LoadRedisUsers:
		return x.loadRedisUsers(ctx, app, a)
	case action.TellCredentials:
		return x.tellCredentials(ctx, app, a)
	case action.HandOverRedis:
		return x.handOverRedis(ctx, app, a)
	case action.PoolerReconnect:
		return x.poolerReconnect(ctx, app, a)
	default:
		return fmt.Errorf("apply: nobody carries out %T", a) // a fault of the build
	}
}

// deletePod deletes a pod, unless it has become the leader of the database since it was seen as a replica.
func (x *Executor) deletePod(ctx context.Context, app *v1alpha1.ScalableApp, a action.DeletePod) error {
	if a.UnlessLeads != "" {
		record, err := x.record(ctx, app, a.UnlessLeads)
		if err != nil {
			return err
		}
		if record.Annotations["leader"] == a.Pod {
			return changed("ConfigMap", record.Name, "it is the leader by now")
		}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: app.Namespace, Name: a.Pod}}
	return client.IgnoreNotFound(x.Client.Delete(ctx, pod, client.Preconditions{UID: &a.UID}))
}

// pod is the live pod, which must be the one that was seen.
func (x *Executor) pod(ctx context.Context, app *v1alpha1.ScalableApp, name string, uid types.UID) (*corev1.Pod, error) {
	pod := &corev1.Pod{}
	if err := x.Live.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: name}, pod); err != nil {
		return nil, err
	}
	if pod.UID != uid {
		return nil, conflict(corev1.SchemeGroupVersion.WithKind("Pod"), name, "it is another one by now")
	}
	return pod, nil
}

func (x *Executor) record(ctx context.Context, app *v1alpha1.ScalableApp, name string) (*corev1.ConfigMap, error) {
	record := &corev1.ConfigMap{}
	err := x.Live.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: name}, record)
	return record, err
}

func changed(kind, name, words string) error {
	return conflict(corev1.SchemeGroupVersion.WithKind(kind), name, words)
}

// unlabel reads the record before it acts: a member that has just been elected has the label too, but by then
// the record names it.
func (x *Executor) unlabel(ctx context.Context, app *v1alpha1.ScalableApp, a action.Unlabel) error {
	pod, err := x.pod(ctx, app, a.Pod, a.UID)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if pod.Labels[naming.LabelRole] != "primary" {
		return nil
	}
	record, err := x.record(ctx, app, naming.DatabaseLeader(app))
	if err != nil {
		return err
	}
	if leader := record.Annotations["leader"]; leader == "" || leader == a.Pod {
		return changed("ConfigMap", record.Name, "the leader is another one by now")
	}
	return x.patch(ctx, pod, map[string]any{"metadata": map[string]any{
		"resourceVersion": pod.ResourceVersion, "labels": map[string]any{naming.LabelRole: nil},
	}})
}

// releaseLeader takes the record only from the leader that was seen to have ended: a newer renewal says that
// it lives, and so does a container that runs by now. One whose volume does not answer is only asked to end.
func (x *Executor) releaseLeader(ctx context.Context, app *v1alpha1.ScalableApp, a action.ReleaseLeader) error {
	record, err := x.record(ctx, app, a.Record)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if record.Annotations["leader"] != a.Leader || record.Annotations["renewTime"] != a.Renewed {
		return changed("ConfigMap", record.Name, "it was renewed")
	}
	pod := &corev1.Pod{}
	err = x.Live.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: a.Leader}, pod)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	case a.Stuck:
		if pod.UID != a.UID || pod.DeletionTimestamp.IsZero() {
			return changed("Pod", a.Leader, "it is another one by now")
		}
	case a.Silent && pod.UID == a.UID:
		if alive := x.Patroni.Alive(ctx, pod.Status.PodIP); alive {
			return nil // it cannot reach the API server, or that is slow; Patroni decides
		}
	case pod.UID != a.UID || runs(pod):
		return changed("Pod", a.Leader, "it runs again")
	}
	return x.patch(ctx, record, map[string]any{"metadata": map[string]any{
		"resourceVersion": record.ResourceVersion, "annotations": map[string]any{"leader": nil},
	}})
}

func (x *Executor) forgetFirstStart(ctx context.Context, app *v1alpha1.ScalableApp, a action.ForgetFirstStart) error {
	record := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: app.Namespace, Name: a.Record}}
	return x.patch(ctx, record, map[string]any{"metadata": map[string]any{
		"resourceVersion": a.ResourceVersion, "annotations": map[string]any{components.RecordInitialize: nil},
	}})
}

// runs says whether the database's container of a pod runs.
func runs(pod *corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == components.DatabaseContainer {
			return c.State.Running != nil
		}
	}
	return false
}

func (x *Executor) patch(ctx context.Context, object client.Object, fields map[string]any) error {
	raw, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return x.Client.Patch(ctx, object, client.RawPatch(types.MergePatchType, raw), client.FieldOwner(naming.FieldManager))
}

func (x *Executor) growVolume(ctx context.Context, app *v1alpha1.ScalableApp, a action.GrowVolume) error {
	claim := &corev1.PersistentVolumeClaim{}
	if err := x.Live.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: a.Claim}, claim); err != nil {
		return err
	}
	if now := claim.Spec.Resources.Requests[corev1.ResourceStorage]; now.Cmp(a.Size) >= 0 {
		return nil // a volume never shrinks, whatever an old view asks for
	}
	return x.patch(ctx, claim, map[string]any{"spec": map[string]any{"resources": map[string]any{
		"requests": map[string]any{string(corev1.ResourceStorage): a.Size.String()},
	}}})
}

// orphanSet waits until the StatefulSet owns no volume. Its controller gives it those that are to go with it, also
// while it is being deleted, and they would be collected after it.
func (x *Executor) orphanSet(ctx context.Context, app *v1alpha1.ScalableApp, a action.OrphanSet) error {
	set := &appsv1.StatefulSet{}
	if err := x.Live.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: a.Name}, set); err != nil {
		return client.IgnoreNotFound(err)
	}
	policy := set.Spec.PersistentVolumeClaimRetentionPolicy
	takesAlong := policy != nil && policy.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	if takesAlong || set.Status.ObservedGeneration < set.Generation {
		return changed("StatefulSet", a.Name, "its volumes would go with it as it is")
	}
	claims := &corev1.PersistentVolumeClaimList{}
	if err := x.Live.List(ctx, claims, client.InNamespace(app.Namespace), client.MatchingLabels{naming.LabelInstance: app.Name}); err != nil {
		return err
	}
	for i := range claims.Items {
		if owns(set, &claims.Items[i]) {
			return changed("StatefulSet", a.Name, "it has not let go of "+claims.Items[i].Name+" yet")
		}
	}
	return client.IgnoreNotFound(x.Client.Delete(ctx, set, client.PropagationPolicy(metav1.DeletePropagationOrphan),
		client.Preconditions{UID: &a.UID, ResourceVersion: &a.ResourceVersion}))
}

func owns(owner, object metav1.Object) bool {
	return slices.ContainsFunc(object.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.UID == owner.GetUID() })
}

func (x *Executor) resizePod(ctx context.Context, app *v1alpha1.ScalableApp, a action.ResizePod) error {
	pod, err := x.pod(ctx, app, a.Pod, a.UID)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	raw, err := json.Marshal(map[string]any{"spec": map[string]any{"containers": []any{
		map[string]any{"name": a.Container, "resources": map[string]any{"requests": a.Resources.Requests, "limits": a.Resources.Limits}},
	}}})
	if err != nil {
		return err
	}
	patch := client.RawPatch(types.StrategicMergePatchType, raw)
	if err := x.Client.SubResource("resize").Patch(ctx, pod, patch, client.FieldOwner(naming.FieldManager)); err != nil {
		return err
	}
	return x.patch(ctx, pod, map[string]any{"metadata": map[string]any{
		"annotations": map[string]any{naming.AnnotationResources: components.AskedResources(a.Resources)},
	}})
}

func (x *Executor) switchover(ctx context.Context, app *v1alpha1.ScalableApp, a action.Switchover) error {
	record, err := x.record(ctx, app, naming.DatabaseLeader(app))
	if err != nil {
		return err
	}
	if record.Annotations["leader"] != a.Leader {
		return changed("ConfigMap", record.Name, "the leader is another one by now")
	}
	m, err := x.patroniMember(ctx, app, a.Leader, "")
	if err != nil {
		return err
	}
	return x.clientsWait(ctx, app, a.Leader, func() error { return x.Patroni.Switchover(ctx, m, a.Leader, a.Candidate) })
}

// forceFailover asks the very pod that a person named, unless somebody leads by now.
func (x *Executor) forceFailover(ctx context.Context, app *v1alpha1.ScalableApp, a action.ForceFailover) error {
	record, err := x.record(ctx, app, naming.DatabaseLeader(app))
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if record.Annotations["renewTime"] != a.Renewed {
		return changed("ConfigMap", record.Name, "somebody leads by now")
	}
	m, err := x.patroniMember(ctx, app, a.Pod, a.UID)
	if err != nil {
		return err
	}
	return x.Patroni.Switchover(ctx, m, "", a.Pod)
}

func (x *Executor) restartPostgres(ctx context.Context, app *v1alpha1.ScalableApp, a action.RestartPostgres) error {
	m, err := x.patroniMember(ctx, app, a.Pod, a.UID)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	return x.Patroni.Restart(ctx, m)
}

// patroniMember is the way to a member's REST API; with a UID, to that very pod.
func (x *Executor) patroniMember(ctx context.Context, app *v1alpha1.ScalableApp, name string, uid types.UID) (patroni.Member, error) {
	pod := &corev1.Pod{}
	if err := x.Live.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: name}, pod); err != nil {
		return patroni.Member{}, err
	}
	if uid != "" && pod.UID != uid {
		return patroni.Member{}, changed("Pod", name, "it is another one by now")
	}
	secret := &corev1.Secret{}
	if err := x.Client.Get(ctx, client.ObjectKey{Namespace: app.Namespace, Name: naming.DatabaseCredentials(app)}, secret); err != nil {
		return patroni.Member{}, err
	}
	user, password := components.PatroniLogin(secret)
	return patroni.Member{Host: pod.Status.PodIP, User: user, Password: password}, nil
}
