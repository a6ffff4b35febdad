package plan

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/database"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
	"github.com/scalableapp/scalableapp-operator/internal/rotation"
	"github.com/scalableapp/scalableapp-operator/internal/status"
)

// credential is one that can be rotated: where its passwords are, and how the step of a rotation looks.
type credential struct {
	name string
	// secret holds the passwords and the record.
	secret string
	// binding is the Secret that the app's pods are given, "" if they are given none.
	binding string
	// see fills in what was seen.
	see func(s *rotation.Snapshot)
	// write is the Secret as the next record wants it.
	write func(next rotation.Record) []components.Object
}

// rotations is what was decided about the rotations.
type rotations struct {
	status.Rotation
	credentials []credential
}

// credentials are those of this app that the operator has made.
func (b *builder) credentials() []credential {
	var list []credential
	if b.app.Spec.Database != nil && b.app.Spec.Database.Postgres != nil {
		list = append(list, b.databaseCredentials()...)
	}
	return append(list, b.redisCredentials()...)
}

// databaseCredentials are those of the database. They share a Secret, and so a file of records.
func (b *builder) databaseCredentials() []credential {
	secret := naming.DatabaseCredentials(b.app)
	file, err := components.RotationFile(b.in, secret)
	var list []credential
	for _, name := range rotation.Names {
		kind, ok := components.DatabaseRotations[name]
		if !ok {
			continue
		}
		c := credential{name: name, secret: secret,
			see: func(s *rotation.Snapshot) {
				s.Kind, s.Record = kind, file.Credentials[name]
				if s.Hold = b.databaseHold(); err != nil {
					s.Hold = err.Error()
				}
				s.Unprepared = components.LetIn(b.in, file, name, kind != rotation.InPlace && !s.Record.Second)
				s.Unretired = components.LetOut(b.in, file, name, !s.Record.Second)
				s.Unswitched = components.Replicates(b.in, file)
				s.Bound = components.BindsActive(b.in, file)
			},
			write: func(next rotation.Record) []components.Object {
				return components.RotateDatabase(b.in, file, name, next)
			},
		}
		if kind == rotation.Pods {
			c.binding = naming.DatabaseBinding(b.app)
		}
		list = append(list, c)
	}
	return list
}

// databaseHold is why no password of the database is exchanged at present.
func (b *builder) databaseHold() string {
	switch d := b.database; {
	case b.paused():
		return "the app is paused"
	case b.shifting():
		return "a rollout shifts traffic"
	case b.unfit():
		return "the spec wants a database that cannot be"
	case d == nil || d.State == database.StateSettled:
		return ""
	case d.Reason != "":
		return "the database is not well: " + d.Reason
	default:
		return fmt.Sprintf("the database is not well (%s)", d.State)
	}
}

// oldPods are the pods that may have been given a password before the one in use, and have not ended.
func (b *builder) oldPods(binding string, r rotation.Record) []string {
	if r.Step != rotation.StepRoll {
		return nil
	}
	var names []string
	for _, pod := range b.seen.Pods {
		if components.MayHold(pod, binding, r.Cutoff()) {
			names = append(names, pod.Name)
		}
	}
	return names
}

// decideRotations decides about the passwords that are exchanged.
func (b *builder) decideRotations() {
	b.rotations.credentials = b.credentials()
	wanted := b.rotationRequest()
	var snapshots []rotation.Snapshot
	for _, c := range b.rotations.credentials {
		s := rotation.Snapshot{Now: b.seen.Now, Name: c.name, Rollout: b.takesNothingUp()}
		c.see(&s)
		if c.binding != "" {
			s.Written, s.OldPods = components.WrittenTime(b.in, c.binding), b.oldPods(c.binding, s.Record)
		}
		if wanted.Asks(c.name) {
			s.Wanted = wanted.Token
		}
		snapshots = append(snapshots, s)
	}
	b.rotations.Decisions = rotation.All(snapshots)
}

// rotationRequest is what a person asks for by annotation, unless it was refused: as a whole, so that nothing is
// half done.
func (b *builder) rotationRequest() rotation.Request {
	text := b.app.Annotations[naming.AnnotationRotate]
	if text == "" {
		return rotation.Request{}
	}
	b.rotations.Handled = text
	if stored := b.app.Status.Rotation; stored != nil && stored.HandledRequest == text && stored.RefusedMessage != "" {
		b.rotations.Refused = stored.RefusedMessage // once and for all: the next request has another token
		return rotation.Request{}
	}
	request, err := rotation.ParseRequest(text)
	if err == nil {
		err = b.cannotRotate(request)
	}
	if err != nil {
		b.rotations.Refused = err.Error()
		return rotation.Request{}
	}
	return request
}

// cannotRotate says why a request that is understood cannot be carried out on this app.
func (b *builder) cannotRotate(request rotation.Request) error {
	for _, name := range request.Names {
		i := slices.IndexFunc(b.rotations.credentials, func(c credential) bool { return c.name == name })
		if i < 0 {
			return rotation.Impossible(b.app, name)
		}
		file, err := components.RotationFile(b.in, b.rotations.credentials[i].secret)
		begun := err == nil && file.Credentials[name].Token == request.Token
		if pods := name != rotation.Replication && name != rotation.Superuser; pods && b.undone != "" && !begun {
			return fmt.Errorf("revision %s, which the spec asks for, was undone, and a rotation would roll it out again: "+
				"set the spec to what shall run first", b.undone)
		}
	}
	return nil
}

// takesNothingUp is why the app's pods cannot be replaced by a revision that carries a rotation; "" is nothing.
func (b *builder) takesNothingUp() string {
	r := b.decision.Status
	switch {
	case b.targetErr != nil:
		return "the spec cannot be rolled out: " + b.targetErr.Error()
	case b.undone != "":
		return fmt.Sprintf("revision %s, which the spec asks for, was undone", b.undone)
	case r.Stage == v1alpha1.StageStable:
		return ""
	case r.Failure != nil:
		return "the last rollout failed, and another would try the same again: " + r.Failure.Message
	default:
		return fmt.Sprintf("a rollout is under way (%s)", r.Stage)
	}
}

// rotationObjects are the Secrets that a rotation writes: one step for each Secret, and none where the Secret is
// written already.
func (b *builder) rotationObjects(have []components.Object) []components.Object {
	written := map[string]bool{}
	for _, o := range have {
		if id := Identify(o); id.Kind == "Secret" {
			written[id.Name] = true
		}
	}
	var objects []components.Object
	for i, d := range b.rotations.Decisions {
		c := b.rotations.credentials[i]
		if d.Write == nil || written[c.secret] {
			continue
		}
		written[c.secret] = true
		secrets := c.write(*d.Write)
		if c.binding != "" && d.Write.Step == rotation.StepRetire {
			for i := range secrets {
				secrets[i].Witnesses = append(secrets[i].Witnesses,
					components.Witness{Kind: components.WitnessPods, Name: c.binding, Before: d.Record.Cutoff()})
			}
		}
		objects = append(objects, secrets...)
	}
	return objects
}

// rotationActions have the members of the data tier look at their passwords.
func (b *builder) rotationActions() []action.Action {
	return append(b.databaseRotationActions(), b.redisRotationActions()...)
}

func (b *builder) databaseRotationActions() []action.Action {
	file, err := components.RotationFile(b.in, naming.DatabaseCredentials(b.app))
	if err != nil || !file.Rotating {
		return nil
	}
	return b.tell(naming.ComponentDatabase, file.Generation)
}

// tell has the pods of a component look at their passwords, once for each generation.
func (b *builder) tell(component string, generation int64) []action.Action {
	var actions []action.Action
	for _, pod := range b.seen.PodsWith(naming.Selector(b.app, component)) {
		if pod.DeletionTimestamp == nil && pod.Annotations[naming.AnnotationCredentials] != strconv.FormatInt(generation, 10) {
			actions = append(actions, action.TellCredentials{Pod: pod.Name, UID: pod.UID, Generation: generation})
		}
	}
	return actions
}
