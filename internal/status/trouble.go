package status

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
)

// PodTrouble is why pods do not serve, in the words of the kubelet or the scheduler: the gravest
// trouble of the first pod that has it. The zero Obstacle means that there is none, or that the pods
// only need more time.
//
// The words must stay the same while the trouble does: a container that crashes is Waiting, Running
// and Terminated in turns, and a status that followed would be written again and again. So only what
// lasts over those turns is used.
func PodTrouble(pods []*corev1.Pod) rollout.Obstacle {
	for _, look := range []func(*corev1.Pod) rollout.Obstacle{imageTrouble, crashTrouble, configTrouble, scheduleTrouble, readyTrouble} {
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil {
				continue
			}
			if trouble := look(pod); trouble.Reason != "" {
				trouble.Message = fmt.Sprintf("pod %s: %s", pod.Name, trouble.Message)
				return trouble
			}
		}
	}
	return rollout.Obstacle{}
}

func containers(pod *corev1.Pod) []corev1.ContainerStatus {
	return append(append([]corev1.ContainerStatus{}, pod.Status.InitContainerStatuses...), pod.Status.ContainerStatuses...)
}

func imageTrouble(pod *corev1.Pod) rollout.Obstacle {
	for _, c := range containers(pod) {
		if c.State.Waiting == nil {
			continue
		}
		switch c.State.Waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError":
			message := fmt.Sprintf("image %s cannot be pulled", c.Image)
			// In turns the kubelet says `X` (ErrImagePull) and `Back-off pulling image "I": ErrImagePull: X`.
			why := c.State.Waiting.Message
			if _, after, found := strings.Cut(why, "ErrImagePull: "); found {
				why = after
			}
			if why = lastLine(sourcePort.ReplaceAllString(why, "")); why != "" && !strings.HasPrefix(why, "Back-off") {
				message += ": " + why
			}
			if c.State.Waiting.Reason == "InvalidImageName" {
				message = fmt.Sprintf("image %s is no valid image name", c.Image)
			}
			return rollout.Obstacle{Reason: v1alpha1.ReasonImagePullFailed, Message: message}
		}
	}
	return rollout.Obstacle{}
}

func crashTrouble(pod *corev1.Pod) rollout.Obstacle {
	for _, c := range containers(pod) {
		ended := c.LastTerminationState.Terminated
		if ended == nil {
			ended = c.State.Terminated
		}
		if c.Ready || ended == nil || ended.ExitCode == 0 {
			continue
		}
		message := fmt.Sprintf("container %s ends with exit code %d (%s)", c.Name, ended.ExitCode, ended.Reason)
		// Without the time of day, which is another one at each crash.
		if last := lastLine(timestamp.ReplaceAllString(ended.Message, "…")); last != "" {
			message += ": " + last
		}
		return rollout.Obstacle{Reason: v1alpha1.ReasonCrashLoop, Message: message}
	}
	return rollout.Obstacle{}
}

func configTrouble(pod *corev1.Pod) rollout.Obstacle {
	for _, c := range containers(pod) {
		if w := c.State.Waiting; w != nil {
			switch w.Reason {
			case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
				return rollout.Obstacle{Reason: v1alpha1.ReasonCannotStart, Message: fmt.Sprintf("container %s cannot start: %s", c.Name, w.Message)}
			}
		}
	}
	if pod.Status.Phase == corev1.PodFailed {
		return rollout.Obstacle{Reason: v1alpha1.ReasonPodFailed, Message: fmt.Sprintf("failed (%s): %s", pod.Status.Reason, pod.Status.Message)}
	}
	return rollout.Obstacle{}
}

func scheduleTrouble(pod *corev1.Pod) rollout.Obstacle {
	if c := podCondition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse {
		return rollout.Obstacle{Reason: v1alpha1.ReasonUnschedulable, Message: c.Message}
	}
	return rollout.Obstacle{}
}

// readyTrouble speaks only of containers that have started and still are not ready.
func readyTrouble(pod *corev1.Pod) rollout.Obstacle {
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Running != nil && c.Started != nil && *c.Started && !c.Ready {
			return rollout.Obstacle{Reason: v1alpha1.ReasonNeverReady, Message: fmt.Sprintf("container %s runs but its readiness probe fails", c.Name)}
		}
	}
	return rollout.Obstacle{}
}

func podCondition(pod *corev1.Pod, kind corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == kind {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// Serving says whether a pod is ready and not on its way out.
func Serving(pod *corev1.Pod) bool {
	c := podCondition(pod, corev1.PodReady)
	return pod.DeletionTimestamp == nil && c != nil && c.Status == corev1.ConditionTrue
}

// sourcePort is the port that the kubelet happened to ask from: another one at each try.
var sourcePort = regexp.MustCompile(`(\d+\.){3}\d+:\d+->`)

// timestamp is a time as programs log it, for example 2026-11-22T01:20:55.058694033Z.
var timestamp = regexp.MustCompile(`\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?(Z|[-+]\d\d:?\d\d)?`)

// lastLine is the last line of a container's termination message, cut to a length that a condition
// can bear.
func lastLine(message string) string {
	lines := strings.Split(strings.TrimSpace(message), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	if len(line) > 300 {
		// Half a letter would be stored as another one, and the status never be equal to what is stored.
		line = strings.ToValidUTF8(line[:300], "") + "…"
	}
	return line
}
