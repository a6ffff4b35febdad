package database

import (
	"fmt"

	"github.com/scalableapp/scalableapp-operator/internal/action"
)

// growVolumes comes first, and needs no member to run: a full volume may be why none does.
func (s *Snapshot) growVolumes(d *Decision) bool {
	if v := s.fixedVolume(); v != nil {
		d.Kind, d.Target, d.Lasting = KindGrowVolume, v.Name, true
		d.Reason = fmt.Sprintf("%s cannot grow from %s to %s: %s", v.Name, v.Requested.String(), v.Wanted.String(), v.Fixed)
		return false // no volume is touched; everything else goes on
	}
	for _, v := range s.Volumes {
		switch {
		case v.Requested.Cmp(v.Wanted) < 0:
			d.Kind, d.Target = KindGrowVolume, v.Name
			d.Reason = fmt.Sprintf("%s grows from %s to %s", v.Name, v.Requested.String(), v.Wanted.String())
			d.Action = action.GrowVolume{Claim: v.Name, Size: v.Wanted}
			return true
		case v.Trouble != "" && v.Capacity.Cmp(v.Requested) < 0:
			d.Kind, d.Target, d.Lasting = KindGrowVolume, v.Name, true
			d.Reason = fmt.Sprintf("%s does not grow to %s: %s", v.Name, v.Requested.String(), v.Trouble)
			return false // everything else goes on
		}
	}
	return false
}

// fixedVolume is a volume that is to grow and cannot, nil if there is none.
func (s *Snapshot) fixedVolume() *Volume {
	for i := range s.Volumes {
		if v := &s.Volumes[i]; v.Fixed != "" && v.Requested.Cmp(v.Wanted) < 0 {
			return v
		}
	}
	return nil
}

// renewSet makes the StatefulSet anew once all volumes ask for the wanted size: its template of volumes, which
// new members follow, cannot be changed. Its pods stay. While the spec is refused nobody would make it anew.
func (s *Snapshot) renewSet(d *Decision) bool {
	if s.fixedVolume() != nil || s.Refused {
		return false
	}
	if s.Set == nil || len(s.Volumes) == 0 || s.Set.VolumeSize.Cmp(s.Volumes[0].Wanted) == 0 {
		d.KeepVolumeSize = false
		return false
	}
	d.Kind = KindGrowVolume
	d.Reason = "the StatefulSet is made anew with the new size of volumes; its pods stay"
	d.Action = action.OrphanSet{UID: s.Set.UID, ResourceVersion: s.Set.ResourceVersion}
	return true
}

// resize changes the resources of running pods, replicas first.
func (s *Snapshot) resize(d *Decision) bool {
	for _, m := range s.changeOrder() {
		if m.Resize != "" && m.due() == "" {
			d.Kind, d.Target = KindResize, m.Name
			d.Reason = fmt.Sprintf("%s is resized without a restart: %s", m.Name, m.Resize)
			d.Action = action.ResizePod{Pod: m.Name, UID: m.UID}
			return true
		}
	}
	return false
}

// waitForTemplate begins nothing for the sake of a template that the StatefulSet does not have: a pod that is made
// anew would be as it was, and a pod in which the node cannot change something is made anew.
func (s *Snapshot) waitForTemplate(d *Decision) bool {
	if !s.behind() {
		return false
	}
	for _, m := range s.changeOrder() {
		switch {
		case m.due() != "":
			s.restart(d, m, m.due())
			return true
		case m.Resize != "":
			d.Kind, d.Target, d.Reason = KindResize, m.Name, fmt.Sprintf("%s is to be resized: %s; %s", m.Name, m.Resize, notTakenUp)
			return true
		}
	}
	return false
}

const notTakenUp = "its StatefulSet has not taken it up yet"

// behind says whether a pod that is made now would be as the old ones.
func (s *Snapshot) behind() bool { return s.Set == nil || s.Set.Behind }

// restart has a member made anew, if that can make it another one.
func (s *Snapshot) restart(d *Decision, m *Member, why string) {
	d.Kind, d.Target = KindRestart, m.Name
	switch {
	case s.behind() && s.Hold != "":
		d.Reason = fmt.Sprintf("%s is to be restarted: %s; %s", m.Name, why, s.Hold)
	case s.behind():
		d.Reason = fmt.Sprintf("%s is to be restarted: %s; %s", m.Name, why, notTakenUp)
	default:
		d.Reason = fmt.Sprintf("%s is restarted: %s", m.Name, why)
		d.Action = action.DeletePod{Pod: m.Name, UID: m.UID, Why: why}
	}
}

// changeOrder are the replicas, then the primary.
func (s *Snapshot) changeOrder() []*Member {
	order := s.replicas()
	if primary := s.primary(); primary != nil {
		order = append(order, primary)
	}
	return order
}

// due is why a member has to be made anew, "" if it need not.
func (m *Member) due() string {
	if m.Outdated == "" && m.ResizeRefused != "" {
		return "the node cannot resize it in place: " + m.ResizeRefused
	}
	return m.Outdated
}

// shrinkPrimary restarts the primary first, and in place, where a setting gets smaller that standbys may not
// have smaller than it: they go on with the old value until they have seen the new one in the log. A switchover
// would not help, because the next primary runs with the old one too.
func (s *Snapshot) shrinkPrimary(d *Decision) bool {
	primary := s.primary()
	if !primary.State.PendingRestart || !primary.State.Shrinks || primary.due() != "" {
		return false
	}
	d.restartPostgres(primary, settingsWait+"; a setting that gets smaller has to do so on the primary first")
	return true
}

func (d *Decision) restartPostgres(m *Member, why string) {
	d.Kind, d.Target, d.Reason = KindRestart, m.Name, m.Name+" restarts PostgreSQL: "+why
	d.Action = action.RestartPostgres{Pod: m.Name, UID: m.UID, Why: why}
}

const settingsWait = "changed settings wait for a restart"

func (s *Snapshot) restartReplica(d *Decision) bool {
	for _, m := range s.replicas() {
		switch {
		case m.due() != "":
			s.restart(d, m, m.due())
			return true
		case m.State.PendingRestart:
			d.restartPostgres(m, settingsWait)
			return true
		}
	}
	return false
}

// restartPrimary comes last: after a switchover the old primary is a replica like any other. The only member
// there is has nobody to hand over to.
func (s *Snapshot) restartPrimary(d *Decision) bool {
	primary := s.primary()
	why := primary.due()
	if why == "" && primary.State.PendingRestart {
		why = settingsWait
	}
	switch {
	case why == "":
		return false
	case len(s.Members) > 1:
		s.switchover(d, func(m *Member) bool { return m.due() == "" && !m.State.PendingRestart }, fmt.Sprintf("%s has to restart: %s", primary.Name, why))
	case primary.due() != "":
		s.restart(d, primary, why)
	default:
		d.restartPostgres(primary, why)
	}
	return true
}
