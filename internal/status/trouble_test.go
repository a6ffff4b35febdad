package status

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

func waiting(reason, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: "app", Image: "shop:2", State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}}
}

func ended(code int32, reason, message string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason, Message: message}
}

func podWith(name string, c corev1.ContainerStatus) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{c}
	return pod
}

func TestPodTrouble(t *testing.T) {
	crash := waiting("CrashLoopBackOff", "back-off 40s restarting failed container")
	crash.LastTerminationState.Terminated = ended(1, "Error", "one\nno database\n")
	unready := corev1.ContainerStatus{Name: "app", Started: new(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	starting := corev1.ContainerStatus{Name: "app", Started: new(false), State: unready.State}
	recovered := corev1.ContainerStatus{Name: "app", Ready: true, LastTerminationState: corev1.ContainerState{Terminated: ended(1, "Error", "")}}
	done := corev1.ContainerStatus{Name: "app", State: corev1.ContainerState{Terminated: ended(0, "Completed", "")}}
	failed := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "the node was low on memory"}}
	unscheduled := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available: 3 Insufficient cpu."}}}}
	initCrash := podWith("p", waiting("PodInitializing", ""))
	initCrash.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "init", State: corev1.ContainerState{Terminated: ended(2, "Error", "")}}}
	leaving := podWith("p", crash)
	leaving.DeletionTimestamp = &testkit.Born

	for name, c := range map[string]struct {
		pods    []*corev1.Pod
		reason  string
		message string
	}{
		"none":                      {},
		"starting":                  {pods: []*corev1.Pod{podWith("p", waiting("ContainerCreating", ""))}},
		"started, not ready for it": {pods: []*corev1.Pod{podWith("p", starting)}},
		"crashed once, serves now":  {pods: []*corev1.Pod{podWith("p", recovered)}},
		"ended well":                {pods: []*corev1.Pod{podWith("p", done)}},
		"on its way out":            {pods: []*corev1.Pod{leaving}},
		"image": {pods: []*corev1.Pod{podWith("p", waiting("ErrImagePull", "not found"))},
			reason: v1alpha1.ReasonImagePullFailed, message: "pod p: image shop:2 cannot be pulled: not found"},
		"image name": {pods: []*corev1.Pod{podWith("p", waiting("InvalidImageName", "couldn't parse"))},
			reason: v1alpha1.ReasonImagePullFailed, message: "pod p: image shop:2 is no valid image name"},
		"crash": {pods: []*corev1.Pod{podWith("p", crash)},
			reason: v1alpha1.ReasonCrashLoop, message: "pod p: container app ends with exit code 1 (Error): no database"},
		"crash of an init container": {pods: []*corev1.Pod{initCrash},
			reason: v1alpha1.ReasonCrashLoop, message: "pod p: container init ends with exit code 2 (Error)"},
		"config": {pods: []*corev1.Pod{podWith("p", waiting("CreateContainerConfigError", `secret "s" not found`))},
			reason: v1alpha1.ReasonCannotStart, message: `pod p: container app cannot start: secret "s" not found`},
		"failed": {pods: []*corev1.Pod{failed},
			reason: v1alpha1.ReasonPodFailed, message: "pod p: failed (Evicted): the node was low on memory"},
		"no node": {pods: []*corev1.Pod{unscheduled},
			reason: v1alpha1.ReasonUnschedulable, message: "pod p: 0/3 nodes are available: 3 Insufficient cpu."},
		"never ready": {pods: []*corev1.Pod{podWith("p", unready)},
			reason: v1alpha1.ReasonNeverReady, message: "pod p: container app runs but its readiness probe fails"},
		"the gravest of several pods": {pods: []*corev1.Pod{podWith("a", unready), unscheduled, podWith("z", crash)},
			reason: v1alpha1.ReasonCrashLoop, message: "pod z: container app ends with exit code 1 (Error): no database"},
		"the time of the crash is left out": {pods: []*corev1.Pod{podWith("p", corev1.ContainerStatus{Name: "app",
			State: corev1.ContainerState{Terminated: ended(1, "Error", `{"time":"2026-11-22T01:20:55.058Z","error":"boom"}`)}})},
			reason: v1alpha1.ReasonCrashLoop, message: `pod p: container app ends with exit code 1 (Error): {"time":"…","error":"boom"}`},
		"a long last line is cut": {pods: []*corev1.Pod{podWith("p", corev1.ContainerStatus{Name: "app",
			State: corev1.ContainerState{Terminated: ended(1, "Error", strings.Repeat("x", 1000))}})},
			reason: v1alpha1.ReasonCrashLoop, message: "pod p: container app ends with exit code 1 (Error): " + strings.Repeat("x", 300) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			got := PodTrouble(c.pods)
			if got.Reason != c.reason || got.Message != c.message {
				t.Errorf("%s: %s\nwant %s: %s", got.Reason, got.Message, c.reason, c.message)
			}
		})
	}
}

// A cut in the midst of a letter would make the API server refuse the status.
func TestLongLastLineStaysText(t *testing.T) {
	message := PodTrouble([]*corev1.Pod{podWith("p", corev1.ContainerStatus{Name: "app",
		State: corev1.ContainerState{Terminated: ended(1, "Error", strings.Repeat("x", 299)+"ööö")}})}).Message
	if strings.ToValidUTF8(message, "?") != message {
		t.Errorf("no valid UTF-8: %q", message)
	}
}

// The states of one trouble follow each other every few seconds. The words must not, or the status
// would be written each time.
func TestWordsStayTheSameWhileTheTroubleDoes(t *testing.T) {
	ended1 := ended(1, "Error", "no database")
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	const why = `failed to resolve "shop:2": dial tcp 10.0.0.9:443: connection refused`
	for name, turns := range map[string][]corev1.ContainerStatus{
		"crash loop": {
			{Name: "app", State: corev1.ContainerState{Terminated: ended1}},
			{Name: "app", State: waiting("CrashLoopBackOff", "back-off 10s").State, LastTerminationState: corev1.ContainerState{Terminated: ended1}},
			{Name: "app", State: running, Started: new(false), LastTerminationState: corev1.ContainerState{Terminated: ended1}},
			{Name: "app", State: running, Started: new(true), LastTerminationState: corev1.ContainerState{Terminated: ended1}},
			{Name: "app", State: corev1.ContainerState{Terminated: ended1}, LastTerminationState: corev1.ContainerState{Terminated: ended1}},
			{Name: "app", State: waiting("CrashLoopBackOff", "back-off 20s").State, LastTerminationState: corev1.ContainerState{Terminated: ended1}},
		},
		"image": {
			waiting("ErrImagePull", why),
			waiting("ImagePullBackOff", `Back-off pulling image "shop:2": ErrImagePull: `+why),
		},
		"image, asked for from another port each time": {
			waiting("ErrImagePull", "read tcp 10.0.0.1:40000->10.0.0.9:443: reset"),
			waiting("ErrImagePull", "read tcp 10.0.0.1:40001->10.0.0.9:443: reset"),
			waiting("ImagePullBackOff", `Back-off pulling image "shop:2": ErrImagePull: read tcp 10.0.0.1:40001->10.0.0.9:443: reset`),
		},
	} {
		t.Run(name, func(t *testing.T) {
			first := PodTrouble([]*corev1.Pod{podWith("p", turns[0])})
			if first.Reason == "" {
				t.Fatal("no trouble is seen")
			}
			for i, turn := range turns {
				if got := PodTrouble([]*corev1.Pod{podWith("p", turn)}); got != first {
					t.Errorf("turn %d says %v, the first said %v", i, got, first)
				}
			}
		})
	}
}
