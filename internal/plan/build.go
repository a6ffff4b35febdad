package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/database"
	"github.com/scalableapp/scalableapp-operator/internal/events"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/revision"
	"github.com/scalableapp/scalableapp-operator/internal/rollout"
	"github.com/scalableapp/scalableapp-operator/internal/state"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

// Config is what the operator's own configuration adds to a decision.
type Config struct {
	Images            components.Images
	OperatorNamespace string
}

// lookAgain is how soon to look again for something that no watch reports, for example a Secret of the
// user's that does not exist yet.
const lookAgain = 10 * time.Second

// Build decides everything that one pass does. It is total: what cannot be done is said in the status.
func Build(app *v1alpha1.ScalableApp, seen *state.Observed, config Config) Plan {
	b := builder{
		app:  app,
		seen: seen,
		in:   components.Input{App: app, Observed: seen, Images: config.Images, OperatorNamespace: config.OperatorNamespace},
	}
	b.chooseTarget()
	b.decideRollout()
	b.in.Rollout = b.decision.Status
	b.decideDatabase()
	b.decideRotations()
	p := Plan{Status: status.Build(b.statusInput()), Wake: b.wake()}
	p.Events = events.Between(app.Status, p.Status)
	if b.in.Nudge = b.nudge(p.Status); b.in.Nudge != "" && (p.Wake == 0 || p.Wake > lookAgain) {
		p.Wake = lookAgain
	}
	p.Actions = b.databaseActions()
	if p.Status.Database != nil {
		p.Actions = append(p.Actions, b.poolerActions(b.primaryTerm(p.Status.Database.Primary))...)
	}
	if b.paused() {
		p.wakeBy(b.redisWake()) // what it says of them stays true
		return p
	}
	p.Objects = b.objects()
	p.Objects = append(p.Objects, b.rotationObjects(p.Objects)...)
	p.Actions = append(p.Actions, b.rotationActions()...)
	p.Deletions = b.deletions(p.Objects)
	if grow, _ := b.backupVolume(); grow != nil {
		p.Actions = append(p.Actions, grow)
	}
	redis, wake := b.redisActions()
	if b.redisExchanges() {
		wake = redisStep
	}
	p.Actions = append(p.Actions, redis...)
	p.wakeBy(wake)
	return p
}

// wakeBy has the plan look again after a time at the latest; zero is never.
func (p *Plan) wakeBy(wake time.Duration) {
	if wake > 0 && (p.Wake == 0 || p.Wake > wake) {
		p.Wake = wake
	}
}

// nudgeAfter is how long a Gateway may be silent about a route before it is asked again.
const nudgeAfter = 20 * time.Second

// nudge is a word for the HTTPRoute that is another one every 20 seconds, while a Gateway does not take up
// the route. Some gateways miss the last of several quick changes until the next event comes; a new
// annotation is one.
func (b *builder) nudge(new v1alpha1.ScalableAppStatus) string {
	traffic := meta.FindStatusCondition(new.Conditions, v1alpha1.ConditionTrafficReady)
	if b.app.Spec.Traffic.Gateway == nil || traffic == nil || traffic.Reason != v1alpha1.ReasonSettling {
		return ""
	}
	return strconv.Itoa(int(b.seen.Now.Sub(traffic.LastTransitionTime.Time) / nudgeAfter))
}

// builder holds what the steps of Build hand to each other.
type builder struct {
	app  *v1alpha1.ScalableApp
	seen *state.Observed
	in   components.Input

	// target is the revision that shall serve; targetErr says why there is none.
	target    revision.Revision
	targetErr error
	undone    string
	decision  rollout.Decision
	database  *database.Decision
	rotations rotations
}

// chooseTarget finds the revision that shall serve: the one that the spec asks for, unless it has
// been undone.
func (b *builder) chooseTarget() {
	taken, err := components.TakenRotations(b.in)
	if err != nil {
		b.targetErr = err
		return
	}
	wanted, err := revision.OfRotation(b.app, b.seen.Config, taken)
	if err != nil {
		b.targetErr = err
		return
	}
	name := wanted.Name
	from, to, asked := strings.Cut(b.app.Annotations[naming.AnnotationUndo], ":")
	if asked && from == wanted.Name && to != from {
		if b.seen.Revision(to) == nil {
			b.targetErr = fmt.Errorf("the annotation %s asks for revision %s, which is not in the history; "+
				"choose one of %s, or remove the annotation", naming.AnnotationUndo, to, strings.Join(b.history(), ", "))
			return
		}
		name, b.undone = to, from
	}
	b.target = wanted
	if stored := b.seen.Revision(name); stored != nil {
		if b.target, b.targetErr = revision.Stored(stored); b.targetErr != nil {
			return
		}
	}
	if b.target, b.targetErr = components.Template(b.in, b.target); b.targetErr == nil {
		b.targetErr = components.DatabaseFits(b.in)
	}
}

func (b *builder) history() []string {
	var names []string
	for _, r := range b.seen.Revisions {
		names = append(names, r.Name)
	}
	return names
}

// desired is the number of app pods that shall serve.
func (b *builder) desired() int32 {
	desired := int32(1)
	if b.app.Spec.App.Replicas != nil {
		desired = *b.app.Spec.App.Replicas
	}
	scaling := b.app.Spec.Autoscaling
	if scaling == nil || desired == 0 { // 0 by hand puts the autoscaler to rest
		return desired
	}
	// The autoscaler says the same 15 s later; until then its bounds hold already.
	return min(max(desired, scaling.MinReplicas, b.autoscalerFloor()), scaling.MaxReplicas)
}

func (b *builder) paused() bool { return b.app.Spec.Paused != nil && *b.app.Spec.Paused }

func (b *builder) statusInput() status.Input {
	change, trouble := b.redisChange()
	_, backups := b.backupVolume()
	return status.Input{App: b.app, Observed: b.seen, Desired: b.desired(), Rollout: b.decision,
		Database: b.database, Unjudged: components.ParametersUnanswered(b.in),
		RedisChange: change, RedisTrouble: trouble, BackupTrouble: backups, Rotation: b.rotations.Rotation}
}

func (b *builder) decideRollout() {
	if b.targetErr != nil {
		b.decision = rollout.Decision{
			Status: b.app.Status.Rollout, Reason: v1alpha1.ReasonInvalidSpec, Stalled: true,
			Sizes: rollout.Hold(rollout.Input{Desired: b.desired(), Status: b.app.Status.Rollout, Others: b.setsBut("")}),
		}
		b.decision.Status.Stage = v1alpha1.StageWaiting
		b.decision.Status.Message = b.targetErr.Error()
		return
	}
	in := b.rolloutInput()
	if b.decision = rollout.Next(in); b.paused() {
		b.decision = rollout.Paused(in)
	}
	b.decision.Status.Undone = b.undone
	if b.undone != "" {
		b.decision.Status.Message = strings.TrimSuffix(fmt.Sprintf("revision %s was undone: %s runs until spec.app changes or the annotation %s goes. %s",
			b.undone, b.target.Name, naming.AnnotationUndo, b.decision.Status.Message), " ")
	}
}

// rolloutInput is what the rollout is decided on.
func (b *builder) rolloutInput() rollout.Input {
	desired := b.desired()
	surge, unavailable := bounds(b.app.Spec.Rollout.Rolling, desired)
	target, others := b.sets()
	in := rollout.Input{
		Now: b.seen.Now, Desired: desired, MaxSurge: surge, MaxUnavailable: unavailable,
		Deadline: seconds(b.app.Spec.Rollout.ProgressDeadlineSeconds, 600),
		Settle:   seconds(b.app.Spec.Traffic.SettleSeconds, 5),
		Hold:     seconds(b.app.Spec.Rollout.RollbackHoldSeconds, 300),
		Course:   rollout.NewCourse(&b.app.Spec.Rollout, b.app.Spec.Traffic.Gateway != nil),
		Status:   b.app.Status.Rollout, Target: target, Others: others,
		Obstacle: b.obstacle(), Migration: b.migration(), RollbackUnsafe: b.rollbackUnsafe(), Trouble: b.trouble(),
		Traffic: status.TrafficSeen(b.statusInput()), Gates: b.judged(),
		Word: rollout.ParseWord(b.app.Annotations[naming.AnnotationAction]),
	}
	in.Course.Proven = b.proven()
	if target.Exists {
		in.Interlock = status.DataTierObstacle(status.Input{App: b.app, Observed: b.seen})
	}
	return in
}

// seconds is a setting of the spec as a duration.
func seconds(value *int32, otherwise int32) time.Duration {
	if value != nil {
		otherwise = *value
	}
	return time.Duration(otherwise) * time.Second
}

// bounds are maxSurge, rounded up, and maxUnavailable, rounded down, as numbers of pods; at least one
// of them is 1, or nothing could ever be replaced (25% of 2 rounded down is 0).
func bounds(spec v1alpha1.RollingSpec, desired int32) (surge, unavailable int32) {
	scaled := func(value *intstr.IntOrString, otherwise string, up bool) int32 {
		n, err := intstr.GetScaledValueFromIntOrPercent(intstr.ValueOrDefault(value, intstr.Parse(otherwise)), int(desired), up)
		if err != nil {
			return 0 // the schema lets nothing else through
		}
		return int32(min(n, int(desired)))
	}
	surge = scaled(spec.MaxSurge, "25%", true)
	unavailable = scaled(spec.MaxUnavailable, "0", false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

// obstacle is what keeps a revision from getting its first pod.
func (b *builder) obstacle() rollout.Obstacle {
	if missing := revision.MissingConfig(&b.target.Inputs.App, b.configOf()); len(missing) > 0 {
		return rollout.Obstacle{Reason: v1alpha1.ReasonConfigMissing, Lasting: true,
			Message: fmt.Sprintf("ConfigMap %s (named in app.env or app.envFrom) does not exist; create it", strings.Join(missing, ", "))}
	}
	if b.gateUnread() {
		return rollout.Obstacle{Reason: v1alpha1.ReasonRollingOut, Message: "the gates of " + b.target.Name + " are looked at before its first pod"}
	}
	if invalid := b.invalidGates(); len(invalid) > 0 && b.asks() {
		return rollout.Obstacle{Reason: v1alpha1.ReasonGateInvalid, Lasting: true, Message: strings.Join(invalid, "; ")}
	}
	if other := b.otherMigration(); other != "" {
		return rollout.Obstacle{Reason: v1alpha1.ReasonMigrating,
			Message: fmt.Sprintf("%s waits for the migration of %s to end: two at once could harm the database", b.target.Name, other)}
	}
	if waits := status.DataTierObstacle(status.Input{App: b.app, Observed: b.seen}); waits != "" {
		return rollout.Obstacle{Reason: v1alpha1.ReasonWaitingForDataTier, Message: b.target.Name + " waits for the data tier: " + waits}
	}
	return rollout.Obstacle{}
}

// configOf are the ConfigMaps that the target brings with it.
func (b *builder) configOf() map[string]*state.Config {
	have := map[string]*state.Config{}
	for _, c := range b.target.Inputs.Config {
		have[c.Name] = &state.Config{Data: c.Data, BinaryData: c.BinaryData}
	}
	return have
}

func (b *builder) trouble() rollout.Obstacle {
	labels := map[string]string{naming.LabelRevision: b.target.Name, naming.LabelComponent: naming.ComponentApp}
	if b.migration() != rollout.MigrationNone {
		labels[naming.LabelComponent] = naming.ComponentMigration
	}
	trouble := status.PodTrouble(b.seen.PodsWith(labels))
	if d := b.seen.Deployment(b.target.Name); trouble.Reason == "" && d != nil {
		for _, c := range d.Status.Conditions { // pods that could not even be made
			if c.Type == "ReplicaFailure" && c.Status == "True" {
				trouble = rollout.Obstacle{Reason: v1alpha1.ReasonPodFailed, Message: c.Message}
				if strings.Contains(c.Message, "exceeded quota") {
					trouble.Reason = v1alpha1.ReasonQuotaExceeded
				}
			}
		}
	}
	return trouble
}

// wake is when to look again if nothing happens until then.
func (b *builder) wake() time.Duration {
	wake := b.decision.Wake
	missing := b.missingSecret()
	waits := b.decision.Reason == v1alpha1.ReasonWaitingForDataTier || b.decision.Reason == v1alpha1.ReasonHeld
	noRoutes := b.app.Spec.Traffic.Gateway != nil && !b.seen.Gateways.Known
	if b.decision.Status.Stage == v1alpha1.StageWaiting && b.gateUnread() {
		return time.Millisecond
	}
	if renew := components.RenewCertificates(b.in); renew > 0 && (wake == 0 || renew < wake) {
		wake = renew
	}
	polls := waits || len(b.seen.Warnings) > 0 || len(b.seen.FixedVolumes) > 0 || missing || b.missingClass() || noRoutes ||
		backup.RestoreObstacle(b.app, b.seen).Reason != "" || b.noBackupSecret() ||
		components.ParametersUnanswered(b.in) != ""
	if polls && (wake == 0 || wake > lookAgain) {
		wake = lookAgain
	}
	for _, d := range b.rotations.Decisions {
		if d.Wake > 0 && (wake == 0 || wake > d.Wake) {
			wake = d.Wake
		}
		polls = polls || d.Record.Step != ""
	}
	if b.database != nil && b.database.Wake > 0 && (wake == 0 || wake > b.database.Wake) {
		wake = b.database.Wake
	}
	return wake
}

// noBackupSecret says whether the Secret of the backups' object store is missing or lacks a key.
func (b *builder) noBackupSecret() bool {
	spec, store := backup.Spec(b.app), b.seen.BackupStore
	return spec != nil && spec.S3 != nil && (store.AccessKeyID == "" || store.SecretAccessKey == "")
}

// missingSecret says whether a Secret of a service that exists already is not there.
func (b *builder) missingSecret() bool {
	spec := b.app.Spec
	return spec.Database != nil && spec.Database.External != nil && !b.seen.External.Exists ||
		spec.Sessions != nil && spec.Sessions.External != nil && !b.seen.ExternalSessions.Exists ||
		spec.Cache != nil && spec.Cache.External != nil && !b.seen.ExternalCache.Exists
}

func (b *builder) missingClass() bool {
	for _, exists := range b.seen.StorageClasses {
		if !exists {
			return true
		}
	}
	return false
}
