package cluster

import (
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/cgroups"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/pki"
)

//go:embed manifests/*.yaml
var manifests embed.FS

// controlPlaneCgroup holds the control plane's processes.
const controlPlaneCgroup = "control-plane"

// controlPlane lists its processes in the order in which they start.
var controlPlane = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "provisioner"}

// auditPolicy records what the operator asks of the API and nothing else: tests count its requests.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: Metadata
  users: ["system:serviceaccount:scalableapp-system:scalableapp-operator"]
- level: None
`

func (c *Cluster) makePKI() error {
	d := c.pki()
	ca, err := d.NewAuthority("ca")
	if err != nil {
		return err
	}
	// The API server refuses an aggregation layer that shares the clients' authority.
	frontProxyCA, err := d.NewAuthority("front-proxy-ca")
	if err != nil {
		return err
	}
	clients := map[string]pki.Subject{
		"admin":                    {Name: "admin", Organization: "system:masters"},
		"apiserver-kubelet-client": {Name: "kube-apiserver-kubelet-client", Organization: "system:masters"},
		"kube-controller-manager":  {Name: "system:kube-controller-manager"},
		"kube-scheduler":           {Name: "system:kube-scheduler"},
		"kube-proxy":               {Name: "system:kube-proxy"},
		"provisioner":              {Name: "local-cluster:provisioner"},
		gatewayProcess:             {Name: "local-cluster:traefik"},
		"kube-apiserver": {
			Name:     "kube-apiserver",
			DNSNames: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
			IPs:      []string{"127.0.0.1", network.APIService, network.APIServer},
		},
	}
	errs := []error{d.KeyPair("sa"), d.Issue(frontProxyCA, "front-proxy", pki.Subject{Name: "front-proxy"})}
	for name, subject := range clients {
		errs = append(errs, d.Issue(ca, name, subject),
			d.Kubeconfig(c.componentKubeconfig(name), Server(), "ca", name))
	}
	errs = append(errs,
		d.Kubeconfig(c.Layout.Kubeconfig(), Server(), "ca", "admin"),
		os.WriteFile(c.auditPolicyFile(), []byte(auditPolicy), 0o644))
	return errors.Join(errs...)
}

func (c *Cluster) auditPolicyFile() string { return filepath.Join(c.Layout.PKI(), "audit-policy.yaml") }

// startAPI starts etcd and the API server and waits until it answers.
func (c *Cluster) startAPI(durable bool) error {
	if err := cgroups.Make(controlPlaneCgroup); err != nil {
		return err
	}
	for _, component := range []struct {
		name string
		args []string
	}{{"etcd", c.etcdArgs(durable)}, {"kube-apiserver", c.apiServerArgs()}} {
		if err := c.start(component.name, network.ControlPlane, controlPlaneCgroup, append([]string{c.program(component.name)}, component.args...)...); err != nil {
			return err
		}
	}
	return waitFor(2*time.Minute, func() error {
		if err := c.died(controlPlane[:2]); err != nil {
			return err
		}
		_, err := c.kubectl("", "get", "--raw=/readyz", "--request-timeout=5s")
		return err
	})
}

// startControllers installs the add-ons and starts the rest of the control plane.
func (c *Cluster) startControllers() error {
	// First the manifests: the provisioner's rights are among them.
	for _, name := range []string{"base", "coredns", "metrics-server"} {
		manifest, err := manifests.ReadFile("manifests/" + name + ".yaml")
		if err != nil {
			return err
		}
		if _, err := c.kubectl(string(manifest), "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
			return fmt.Errorf("installing %s: %w", name, err)
		}
	}
	for name, args := range map[string][]string{
		"kube-controller-manager": c.controllerManagerArgs(),
		"kube-scheduler": {"--kubeconfig=" + c.componentKubeconfig("kube-scheduler"), "--leader-elect=false",
			"--bind-address=127.0.0.1", "--kube-api-qps=200", "--kube-api-burst=400"},
		"provisioner": {"--kubeconfig=" + c.componentKubeconfig("provisioner"), "--dir=" + c.Layout.Volumes()},
	} {
		if err := c.start(name, network.ControlPlane, controlPlaneCgroup, append([]string{c.program(name)}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) etcdArgs(durable bool) []string {
	return []string{
		"--name=local",
		"--data-dir=" + c.Layout.Etcd(),
		"--listen-client-urls=http://127.0.0.1:2379",
		"--advertise-client-urls=http://127.0.0.1:2379",
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=local=http://127.0.0.1:2380",
		"--initial-advertise-peer-urls=http://127.0.0.1:2380",
		// A test cluster need not survive the machine's power cut, and disks differ widely in how long
		// an fsync takes.
		fmt.Sprintf("--unsafe-no-fsync=%t", !durable),
		"--log-level=warn",
	}
}

func (c *Cluster) apiServerArgs() []string {
	d := c.pki()
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--secure-port=6443",
		"--bind-address=0.0.0.0",
		"--advertise-address=" + network.APIServer,
		"--tls-cert-file=" + d.Cert("kube-apiserver"),
		"--tls-private-key-file=" + d.Key("kube-apiserver"),
		"--client-ca-file=" + d.Cert("ca"),
		"--service-account-key-file=" + d.Pub("sa"),
		"--service-account-signing-key-file=" + d.Key("sa"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-cluster-ip-range=" + network.ServiceCIDR,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--kubelet-client-certificate=" + d.Cert("apiserver-kubelet-client"),
		"--kubelet-client-key=" + d.Key("apiserver-kubelet-client"),
		"--kubelet-certificate-authority=" + d.Cert("ca"),
		"--kubelet-preferred-address-types=InternalIP", // node names resolve nowhere
		"--enable-aggregator-routing=true",             // no kube-proxy runs beside the API server
		"--requestheader-client-ca-file=" + d.Cert("front-proxy-ca"),
		"--requestheader-allowed-names=front-proxy",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + d.Cert("front-proxy"),
		"--proxy-client-key-file=" + d.Key("front-proxy"),
		"--audit-policy-file=" + c.auditPolicyFile(),
		"--audit-log-path=" + filepath.Join(c.Layout.Logs(), "audit.log"),
		"--audit-log-maxsize=50",
		"--audit-log-maxbackup=3",
	}
}

func (c *Cluster) controllerManagerArgs() []string {
	d := c.pki()
	return []string{
		"--kubeconfig=" + c.componentKubeconfig("kube-controller-manager"),
		"--bind-address=127.0.0.1",
		"--service-account-private-key-file=" + d.Key("sa"),
		"--root-ca-file=" + d.Cert("ca"),
		"--cluster-signing-cert-file=" + d.Cert("ca"),
		"--cluster-signing-key-file=" + d.Key("ca"),
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		// Pod networks are fixed by the node's number, see network.NodePodCIDR.
		"--allocate-node-cidrs=false",
		"--node-monitor-grace-period=16s",
		"--node-monitor-period=2s",
		// The defaults throttle the controllers long before the API server is busy.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--flex-volume-plugin-dir=" + filepath.Join(c.Layout.State, "flex-volume-plugins"),
	}
}
