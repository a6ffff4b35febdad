package cluster

import (
	"fmt"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cgroups"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/debian"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
)

// cniNetwork begins the names of the nodes' pod networks; cleaning up recognises its own by it.
const cniNetwork = "scalableapp-"

// cniConfig connects pods point to point. With a bridge, answers between two pods of a node would go
// past the node's address translation unless the kernel has br_netfilter.
func (c *Cluster) cniConfig(n Node) string {
	return fmt.Sprintf(`{
  "cniVersion": "1.0.0",
  "name": %q,
  "plugins": [
    {
      "type": "ptp",
      "ipMasq": false,
      "ipam": {
        "type": "host-local",
        "dataDir": %q,
        "ranges": [[{"subnet": %q}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
`, cniNetwork+n.Name(), c.nodeFile(n, "ipam"), network.NodePodCIDR(n.Number))
}

// containerdConfig keeps everything of containerd's below the node's directory. Oom scores are
// restricted since the machine may not let root lower them.
func (c *Cluster) containerdConfig(n Node) string {
	return fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = %q
[plugins."io.containerd.internal.v1.opt"]
  path = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "local/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = %q
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = %q
      SystemdCgroup = false
`, c.nodeFile(n, "containerd"), c.nodeFile(n, "containerd-state"), c.containerdSocket(n), c.nodeFile(n, "containerd-opt"),
		debian.CNIPlugins, c.nodeFile(n, "cni"), c.nodeFile(n, "runc"))
}

// kubeletConfig reports often, so that the loss of a node shows within the controller manager's 16 s.
func (c *Cluster) kubeletConfig(n Node) string {
	d := c.pki()
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %q}
authorization: {mode: Webhook}
tlsCertFile: %q
tlsPrivateKeyFile: %q
cgroupDriver: cgroupfs
cgroupRoot: /%s/%s
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
containerRuntimeEndpoint: unix://%s
clusterDNS: [%q]
clusterDomain: cluster.local
resolvConf: %q
podLogsDir: %q
volumePluginDir: %q
nodeStatusUpdateFrequency: 4s
nodeLeaseDurationSeconds: 20
evictionHard: {memory.available: 100Mi, nodefs.available: "1%%", nodefs.inodesFree: "1%%", imagefs.available: "1%%"}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
serializeImagePulls: false
`, d.Cert("ca"), d.Cert("kubelet-"+n.Name()), d.Key("kubelet-"+n.Name()), cgroups.Tree, n.podCgroup(),
		c.containerdSocket(n), network.DNSService, c.nodeFile(n, "resolv.conf"), c.nodeFile(n, "pod-logs"), c.nodeFile(n, "volume-plugins"))
}
