package plan

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/internal/action"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/components"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// backupVolume is what is done for the volume of the backups to grow, and what keeps it from that until a person
// helps. As with the database's own: the claim, then the StatefulSet is made anew around its pod. A full volume
// may be why the pod makes no backups, so nothing is waited for.
func (b *builder) backupVolume() (action.Action, string) {
	spec := backup.Spec(b.app)
	if spec == nil || spec.S3 != nil || b.unfit() {
		return nil, ""
	}
	wanted := components.BackupStorage(b.app).Size
	for _, claim := range components.VolumesOf(b.seen.Volumes, naming.Backup(b.app)) {
		v := b.volume(claim, wanted)
		switch {
		case v.Requested.Cmp(wanted) < 0 && v.Fixed != "":
			return nil, fmt.Sprintf("%s cannot grow from %s to %s: %s", v.Name, v.Requested.String(), wanted.String(), v.Fixed)
		case v.Requested.Cmp(wanted) < 0:
			return action.GrowVolume{Claim: v.Name, Size: wanted}, ""
		case v.Trouble != "":
			return nil, fmt.Sprintf("%s does not grow from %s to %s: %s", v.Name, v.Capacity.String(), v.Requested.String(), v.Trouble)
		}
	}
	if set := b.seen.StatefulSet(naming.Backup(b.app)); set != nil && set.DeletionTimestamp == nil {
		for _, template := range set.Spec.VolumeClaimTemplates {
			if size := template.Spec.Resources.Requests[corev1.ResourceStorage]; size.Cmp(wanted) != 0 {
				return action.OrphanSet{Name: set.Name, UID: set.UID, ResourceVersion: set.ResourceVersion}, ""
			}
		}
	}
	return nil, ""
}
