package components

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	appsv1ac "k8s.io/client-go/applyconfigurations/apps/v1"
	batchv1ac "k8s.io/client-go/applyconfigurations/batch/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
)

// Marks are what a revision's record remembers of it.
type Marks struct {
	// Migrated says that its migration has been done.
	Migrated bool
	// Proven says that it was rolled out in full.
	Proven bool
}

// Record is the ControllerRevision that keeps a revision: what going back restores. Its marks are never taken
// off again, so it is written only as it was seen: a view that lags knows no marks.
func Record(in Input, r revision.Revision, number int64, marks Marks) (Object, error) {
	content, err := r.Record()
	if err != nil {
		return Object{}, err
	}
	record := appsv1ac.ControllerRevision(r.Name, in.App.Namespace).
		WithLabels(revisionLabels(in.App, r.Name)).
		WithOwnerReferences(owner(in.App)).
		WithRevision(number).
		WithData(runtime.RawExtension{Raw: content})
	if marks.Migrated {
		record.WithAnnotations(map[string]string{naming.AnnotationMigrated: "true"})
	}
	if marks.Proven {
		record.WithAnnotations(map[string]string{naming.AnnotationProven: "true"})
	}
	object := Object{Intent: record, IfNew: true}
	if seen := in.Observed.Revision(r.Name); seen != nil {
		object.IfVersion, object.IfNew = seen.ResourceVersion, false
	}
	return object, nil
}

// Migration is the Job that prepares the database for a revision, with the copies of ConfigMaps that
// it needs. A Job's template cannot change, so it is made once in an attempt.
func Migration(in Input, r revision.Revision, attempt int32) []Object {
	spec := r.AppSpec(func(i int) string { return naming.RevisionConfig(r.Name, i) })
	container := appContainer(in.App, r, spec)
	container.Command, container.Args = nil, nil
	container.WithCommand(spec.Migration.Command...)
	direct(in.App, container)
	labels := labels(in.App, naming.ComponentMigration)
	labels[naming.LabelRevision] = r.Name
	job := batchv1ac.Job(naming.Migration(r.Name), in.App.Namespace).
		WithLabels(labels).
		WithAnnotations(map[string]string{naming.AnnotationAttempt: strconv.Itoa(int(attempt))}).
		WithOwnerReferences(owner(in.App)).
		WithSpec(batchv1ac.JobSpec().
			WithBackoffLimit(3).
			WithActiveDeadlineSeconds(int64(*spec.Migration.TimeoutSeconds)).
			WithTemplate(corev1ac.PodTemplateSpec().
				WithLabels(labels).
				WithSpec(podSpec(in.App, r, spec, container).WithRestartPolicy(corev1.RestartPolicyNever))))
	return append(RevisionConfig(in, r), Object{Intent: job, Mode: Created})
}
