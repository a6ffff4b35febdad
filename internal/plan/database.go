package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/database"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

// decideDatabase decides what is done to the database that the operator runs.
func (b *builder) decideDatabase() {
	if b.app.Spec.Database == nil || b.app.Spec.Database.Postgres == nil {
		return
	}
	d := database.Next(b.databaseSnapshot())
	for i, a := range d.Urgent {
		switch a := a.(type) {
		case action.ReleaseLeader:
			a.Record = naming.DatabaseLeader(b.app)
			d.Urgent[i] = a
		case action.ForgetFirstStart:
			a.Record = naming.PatroniRecords(b.app)[0]
			d.Urgent[i] = a
		}
	}
	switch a := d.Action.(type) {
	case action.DeletePod:
		if record := b.seen.ConfigMap(naming.DatabaseLeader(b.app)); record != nil && record.Annotations["leader"] != a.Pod {
			a.UnlessLeads = record.Name
			d.Action = a
		}
	case action.OrphanSet:
		a.Name = naming.Database(b.app)
		d.Action = a
	case action.ResizePod:
		a.Container, a.Resources = components.DatabaseContainer, components.DatabaseResources(b.app)
		d.Action = a
	}
	b.database, b.in.Database = &d, &d
}

// databaseActions are what is to be done, what keeps harm away first.
func (b *builder) databaseActions() []action.Action {
	if b.database == nil || b.paused() {
		return nil
	}
	actions := slices.Clone(b.database.Urgent)
	if b.database.Action != nil {
		actions = append(actions, b.database.Action)
	}
	return actions
}

// databaseSnapshot is what was seen of the database, as the machine wants it.
func (b *builder) databaseSnapshot() database.Snapshot {
	postgres := b.app.Spec.Database.Postgres
	s := database.Snapshot{
		Now: b.seen.Now, Instances: postgres.Instances,
		Synchronous: postgres.Durability != v1alpha1.DurabilityAsynchronous,
		Initialized: components.DatabaseInitialized(b.in),
		Word:        databaseWord(b.app),
	}
	if b.shifting() {
		s.Hold = "a rollout shifts traffic: the database is changed when it is over"
	}
	s.Refused = b.unfit()
	if components.DatabaseFits(b.in) != nil {
		s.Hold = "what the spec wants of it does not fit: the database is changed when it does"
	} else if unanswered := components.ParametersUnanswered(b.in); unanswered != "" {
		s.Hold = "PostgreSQL is to judge its new settings first: " + unanswered
	}
	if record := b.seen.ConfigMap(naming.DatabaseLeader(b.app)); record != nil {
		s.Leader = database.LeaderRecord{Name: record.Annotations["leader"], Renewed: record.Annotations["renewTime"], Seen: b.seen.LeaderRenewed}
		s.Leader.Acquired, _ = time.Parse(time.RFC3339, record.Annotations["acquireTime"]) // what cannot be read says nothing
	}
	if record, since := components.FirstStart(b.in); record != nil {
		s.Begun, s.BegunVersion = since, record.ResourceVersion
	}
	if record := b.seen.ConfigMap(naming.DatabaseSync(b.app)); record != nil {
		s.LastPrimary = record.Annotations["leader"]
		if standbys := record.Annotations["sync_standby"]; standbys != "" {
			s.InStep = strings.Split(standbys, ",")
		}
	}
	if set := b.seen.StatefulSet(naming.Database(b.app)); set != nil {
		s.Set = &database.Set{UID: set.UID, ResourceVersion: set.ResourceVersion, Behind: !components.DatabaseTakenUp(b.in, set)}
		if set.Spec.Replicas != nil {
			s.Set.Replicas = *set.Spec.Replicas
		}
		for _, claim := range set.Spec.VolumeClaimTemplates {
			s.Set.VolumeSize = claim.Spec.Resources.Requests[corev1.ResourceStorage]
		}
	}
	for _, pod := range b.seen.PodsWith(naming.Selector(b.app, naming.ComponentDatabase)) {
		s.Members = append(s.Members, b.member(pod))
	}
	for _, claim := range components.DatabaseVolumes(b.in) {
		s.Volumes = append(s.Volumes, b.volume(claim, postgres.Storage.Size))
	}
	if stored := b.app.Status.Database; stored != nil {
		s.Lost = stored.Lost
	}
	if stored := b.app.Status.Database; stored != nil && stored.Operation != nil && stored.Operation.FailedTime != nil {
		o := stored.Operation
		s.Failed, s.FailedTime, s.FailedAction = o.Failures, o.FailedTime.Time, o.Action
		if o.ObservedGeneration != b.app.Generation {
			s.Failed = 0
		}
	}
	return s
}

func (b *builder) volume(claim *corev1.PersistentVolumeClaim, wanted resource.Quantity) database.Volume {
	v := database.Volume{
		Name: claim.Name, Wanted: wanted, Fixed: b.seen.FixedVolumes[claim.Name],
		Requested: claim.Spec.Resources.Requests[corev1.ResourceStorage], Capacity: claim.Status.Capacity[corev1.ResourceStorage],
	}
	if v.Capacity.Cmp(v.Requested) < 0 {
		v.Trouble = b.seen.Warnings["PersistentVolumeClaim/"+claim.Name]
	}
	return v
}

// member is one pod of the database.
func (b *builder) member(pod *corev1.Pod) database.Member {
	m := database.Member{
		Name: pod.Name, UID: pod.UID,
		Labelled: pod.Labels[naming.LabelRole] == "primary",
		Ready:    status.Serving(pod),
		Deleting: !pod.DeletionTimestamp.IsZero(),
		Ended:    databaseEnded(pod),
		Started:  databaseStarted(pod),
		State:    memberState(pod.Annotations["status"]),
	}
	if since := pod.Annotations[naming.AnnotationVolumeStuck]; since != "" {
		m.VolumeStuck, _ = time.Parse(time.RFC3339, since) // the agent's; what cannot be read says nothing
	}
	m.Outdated = components.DatabaseOutdated(b.in, pod)
	for _, c := range pod.Spec.Containers {
		if c.Name == components.DatabaseContainer {
			want := components.DatabaseResources(b.app)
			m.Resize = resize(components.MemberResources(pod, want), want, &m)
		}
	}
	for _, c := range pod.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue:
			m.Unready = c.LastTransitionTime.Time
		case c.Status != corev1.ConditionTrue:
		case c.Type == corev1.PodResizePending && c.Reason == corev1.PodReasonInfeasible:
			m.ResizeRefused = c.Message
		case c.Type == corev1.PodResizePending, c.Type == corev1.PodResizeInProgress:
			m.Resizing = true
		}
	}
	return m
}

// databaseEnded is when the kubelet saw the database's container end, unless it runs again.
func databaseEnded(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name != components.DatabaseContainer {
			continue
		}
		switch {
		case c.State.Terminated != nil:
			return c.State.Terminated.FinishedAt.Time
		case c.State.Waiting != nil && c.LastTerminationState.Terminated != nil:
			return c.LastTerminationState.Terminated.FinishedAt.Time
		}
	}
	return time.Time{}
}

// databaseStarted is when the database's container began to run; zero if it does not run.
func databaseStarted(pod *corev1.Pod) time.Time {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name == components.DatabaseContainer && c.State.Running != nil {
			return c.State.Running.StartedAt.Time
		}
	}
	return time.Time{}
}

// shared are the settings that a standby may not have smaller than its primary (PostgreSQL's documentation,
// "Hot Standby", "Administrator's Overview").
var shared = []string{"max_connections", "max_prepared_transactions", "max_locks_per_transaction",
	"max_wal_senders", "max_worker_processes"}

// memberState reads what Patroni writes into its pod's annotation "status". What cannot be read says nothing.
func memberState(text string) database.MemberState {
	var said struct {
		Role        string `json:"role"`
		State       string `json:"state"`
		Replication string `json:"replication_state"`
		Timeline    int64  `json:"timeline"`
		Location    int64  `json:"xlog_location"`
		Pending     bool   `json:"pending_restart"`
		Reasons     map[string]struct {
			Old string `json:"old_value"`
			New string `json:"new_value"`
		} `json:"pending_restart_reason"`
		Pause bool `json:"pause"`
	}
	if json.Unmarshal([]byte(text), &said) != nil {
		return database.MemberState{}
	}
	state := database.MemberState{
		Role: said.Role, State: said.State, Replication: said.Replication, Timeline: said.Timeline,
		Location: said.Location, PendingRestart: said.Pending, Paused: said.Pause,
	}
	for name, change := range said.Reasons {
		older, errOld := strconv.ParseInt(change.Old, 10, 64)
		newer, errNew := strconv.ParseInt(change.New, 10, 64)
		state.Shrinks = state.Shrinks || (slices.Contains(shared, name) && errOld == nil && errNew == nil && newer < older)
	}
	return state
}

// resize says what is to change of the resources that a running container was asked to have, and sets Outdated where that takes a new
// pod: a resource that comes or goes, and memory that shrinks under a PostgreSQL that has it in use.
func resize(have, want corev1.ResourceRequirements, m *database.Member) string {
	if equality.Semantic.DeepEqual(have.Requests, want.Requests) && equality.Semantic.DeepEqual(have.Limits, want.Limits) {
		return ""
	}
	words := fmt.Sprintf("from %s to %s", resourceWords(have), resourceWords(want))
	shrinks := func(have, want corev1.ResourceList) bool {
		before, after := have[corev1.ResourceMemory], want[corev1.ResourceMemory]
		return after.Cmp(before) < 0
	}
	if !sameNames(have.Requests, want.Requests) || !sameNames(have.Limits, want.Limits) || shrinks(have.Limits, want.Limits) {
		if m.Outdated == "" {
			m.Outdated = "resources change " + words
		}
		return ""
	}
	return words
}

func sameNames(a, b corev1.ResourceList) bool {
	return slices.Equal(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
}

// resourceWords are resources in words, for example "cpu 100m, memory 256Mi to 512Mi".
func resourceWords(r corev1.ResourceRequirements) string {
	var words []string
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, requested := r.Requests[name]
		limit, limited := r.Limits[name]
		switch {
		case requested && limited && request.Cmp(limit) != 0:
			words = append(words, fmt.Sprintf("%s %s (limit %s)", name, request.String(), limit.String()))
		case requested:
			words = append(words, fmt.Sprintf("%s %s", name, request.String()))
		case limited:
			words = append(words, fmt.Sprintf("%s limit %s", name, limit.String()))
		}
	}
	return strings.Join(words, ", ")
}

// databaseWord reads a person's word about the database: switchover:FROM[:TO], or failover:TO. One that has had its answer is
// none.
func databaseWord(app *v1alpha1.ScalableApp) database.Word {
	text := app.Annotations[naming.AnnotationDatabaseAction]
	if stored := app.Status.Database; text == "" || (stored != nil && stored.HandledAction == text) {
		return database.Word{}
	}
	parts := append(strings.Split(text, ":"), "", "")
	switch {
	case parts[1] == "":
		return database.Word{Token: text}
	case parts[0] == "failover":
		return database.Word{Token: text, Force: true, To: parts[1]}
	case parts[0] != "switchover":
		return database.Word{Token: text}
	}
	return database.Word{Token: text, Switchover: true, From: parts[1], To: parts[2]}
}
