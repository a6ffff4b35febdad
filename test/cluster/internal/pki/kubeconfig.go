package pki

import (
	"encoding/base64"
	"fmt"
	"os"
)

const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: scalableapp
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %s
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: scalableapp
  context: {cluster: scalableapp, user: %s}
current-context: scalableapp
`

// Kubeconfig writes a kubeconfig for an issued certificate. It holds everything itself, so that it
// can be copied.
func (d Dir) Kubeconfig(path, server, authority, name string) error {
	var encoded [3]string
	for i, file := range []string{d.Cert(authority), d.Cert(name), d.Key(name)} {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		encoded[i] = base64.StdEncoding.EncodeToString(content)
	}
	content := fmt.Sprintf(kubeconfig, server, encoded[0], name, encoded[1], encoded[2], name)
	return os.WriteFile(path, []byte(content), 0o600)
}
