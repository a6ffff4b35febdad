package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/scalableapp/scalableapp-operator/test/cluster/internal/network"
)

// gatewayProcess is Traefik, which runs beside the control plane: from there it reaches the API server
// and the pods, and the machine reaches it.
const gatewayProcess = "traefik"

// Gateway is what a Gateway API with an implementation is made of.
type Gateway struct {
	Program string // Traefik
	CRDs    string // the directory with the Gateway API's CRDs
}

// GatewayURL is where the Gateway gateway-system/web listens.
func GatewayURL() string { return "http://" + network.APIServer }

// HasGateway tells whether the cluster was started with a gateway.
func (c *Cluster) HasGateway() bool {
	_, err := c.store().Load(gatewayProcess)
	return !errors.Is(err, fs.ErrNotExist)
}

// ensureGateway installs the Gateway API and starts Traefik, unless it is there already.
func (c *Cluster) ensureGateway(g Gateway) error {
	if c.gatewayReady() == nil {
		return nil
	}
	return c.Progress.Step("Gateway API and Traefik", nil, func() error {
		if err := c.installGateway(g); err != nil {
			return fmt.Errorf("installing the Gateway API: %w", err)
		}
		if c.died([]string{gatewayProcess}) != nil {
			args := []string{"env", "KUBECONFIG=" + c.componentKubeconfig(gatewayProcess), g.Program,
				"--entryPoints.web.address=:80",
				"--providers.kubernetesgateway=true",
				"--providers.kubernetesgateway.statusaddress.ip=" + network.APIServer,
				"--global.checknewversion=false",
				"--global.sendanonymoususage=false",
				"--log.nocolor=true",
				"--accesslog=false",
			}
			if err := c.start(gatewayProcess, network.ControlPlane, controlPlaneCgroup, args...); err != nil {
				return err
			}
		}
		return waitFor(time.Minute, func() error {
			if err := c.died([]string{gatewayProcess}); err != nil {
				return err
			}
			return c.gatewayReady()
		})
	})
}

func (c *Cluster) installGateway(g Gateway) error {
	files, err := filepath.Glob(filepath.Join(g.CRDs, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no CRDs in %s: %w", g.CRDs, err)
	}
	var crds []string
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		crds = append(crds, string(content))
	}
	if _, err := c.kubectl(strings.Join(crds, "\n---\n"), "apply", "--server-side", "--force-conflicts", "-f", "-"); err != nil {
		return err
	}
	if _, err := c.kubectl("", "wait", "--for=condition=Established", "--timeout=30s", "crd/gatewayclasses.gateway.networking.k8s.io",
		"crd/gateways.gateway.networking.k8s.io", "crd/httproutes.gateway.networking.k8s.io"); err != nil {
		return err
	}
	manifest, err := manifests.ReadFile("manifests/gateway.yaml")
	if err != nil {
		return err
	}
	// Discovery of what was defined a moment ago may lag.
	return waitFor(20*time.Second, func() error {
		_, err := c.kubectl(string(manifest), "apply", "--server-side", "--force-conflicts", "-f", "-")
		return err
	})
}

// gatewayReady returns an error unless Traefik runs, serves the Gateway and answers.
func (c *Cluster) gatewayReady() error {
	if err := c.died([]string{gatewayProcess}); err != nil {
		return err
	}
	out, err := c.kubectl("", "get", "gateway", "web", "-n", "gateway-system", "--request-timeout=5s",
		"-o", `jsonpath={.status.conditions[?(@.type=="Programmed")].status}`)
	if err != nil {
		return err
	}
	if out != "True" {
		return errors.New("the Gateway gateway-system/web is not programmed")
	}
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	answer, err := client.Get(GatewayURL())
	if err != nil {
		return err
	}
	return answer.Body.Close() // whatever it says: 404 while there is no route
}
