package e2e

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

func listFrom(resourceVersion string) *metav1.ListOptions {
	return &metav1.ListOptions{ResourceVersion: resourceVersion}
}

// describeApp is what a person wants to know of an app, in a few lines.
func describeApp(app *v1alpha1.ScalableApp) string {
	var b strings.Builder
	r := app.Status.Rollout
	fmt.Fprintf(&b, "ScalableApp %s: generation %d, observed %d, app %s, stage %s: %s\n",
		app.Name, app.Generation, app.Status.ObservedGeneration, app.Status.App.Ready, r.Stage, r.Message)
	for name, revision := range map[string]*v1alpha1.RevisionStatus{"stable": r.Stable, "candidate": r.Candidate} {
		if revision != nil {
			fmt.Fprintf(&b, "  %s %+v\n", name, *revision)
		}
	}
	for _, c := range app.Status.Conditions {
		fmt.Fprintf(&b, "  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

// dump prints what is needed to understand a failure after the fact.
func (w *world) dump() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var b strings.Builder
	apps := &v1alpha1.ScalableAppList{}
	if err := api.List(ctx, apps, client.InNamespace(w.namespace)); err != nil {
		fmt.Fprintln(&b, err)
	}
	for i := range apps.Items {
		b.WriteString(describeApp(&apps.Items[i]))
	}
	w.dumpPods(ctx, &b)
	w.dumpEvents(ctx, &b)
	operators, err := operatorPods(ctx)
	if err != nil {
		fmt.Fprintln(&b, err)
	}
	for _, pod := range operators {
		fmt.Fprintf(&b, "operator %s, lines that name %s:\n%s", pod.Name, w.namespace, logOf(ctx, &pod, "", 40, w.namespace))
	}
	w.Logf("what there was in %s:\n%s", w.namespace, b.String())
}

func (w *world) dumpPods(ctx context.Context, b *strings.Builder) {
	list := &corev1.PodList{}
	if err := api.List(ctx, list, client.InNamespace(w.namespace)); err != nil {
		fmt.Fprintln(b, err)
	}
	for i := range list.Items {
		pod := &list.Items[i]
		fmt.Fprintf(b, "pod %s on %s: %s, deleted %v, %s\n", pod.Name, pod.Spec.NodeName, pod.Status.Phase, pod.DeletionTimestamp, containersOf(pod))
		fmt.Fprintf(b, "%s", logOf(ctx, pod, pod.Spec.Containers[0].Name, 15, ""))
	}
}

func containersOf(pod *corev1.Pod) string {
	var states []string
	for _, c := range append(slices.Clone(pod.Status.InitContainerStatuses), pod.Status.ContainerStatuses...) {
		state := "running"
		switch {
		case c.State.Waiting != nil:
			state = c.State.Waiting.Reason + " " + c.State.Waiting.Message
		case c.State.Terminated != nil:
			state = fmt.Sprintf("ended with %d", c.State.Terminated.ExitCode)
		}
		states = append(states, fmt.Sprintf("%s (%s): ready %t, %d restarts, %s", c.Name, c.Image, c.Ready, c.RestartCount, state))
	}
	return strings.Join(states, "; ")
}

// logOf is the end of a pod's log; with a word given, of the lines that hold it.
func logOf(ctx context.Context, pod *corev1.Pod, container string, lines int, word string) string {
	stream, err := pods.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container}).Stream(ctx)
	if err != nil {
		return fmt.Sprintf("    no log: %v\n", err)
	}
	defer func() { _ = stream.Close() }()
	var last []string
	scanner := bufio.NewScanner(stream)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		line := scanner.Text()
		if !strings.Contains(line, word) {
			continue
		}
		last = append(last, "    "+line[:min(len(line), 600)]+"\n")
		if len(last) > lines {
			last = last[1:]
		}
	}
	return strings.Join(last, "")
}

func (w *world) dumpEvents(ctx context.Context, b *strings.Builder) {
	list := &corev1.EventList{}
	if err := api.List(ctx, list, client.InNamespace(w.namespace)); err != nil {
		fmt.Fprintln(b, err)
	}
	when := func(e corev1.Event) time.Time {
		if !e.LastTimestamp.IsZero() {
			return e.LastTimestamp.Time
		}
		return e.EventTime.Time
	}
	slices.SortFunc(list.Items, func(x, y corev1.Event) int { return when(x).Compare(when(y)) })
	for _, e := range list.Items[max(0, len(list.Items)-60):] {
		fmt.Fprintf(b, "event %s %s/%s %s: %.300s\n", when(e).Format(time.TimeOnly),
			e.InvolvedObject.Kind, e.InvolvedObject.Name, e.Reason, e.Message)
	}
}
