// Package images tests the programs in the operand images.
package images

import (
	"os"
	"os/exec"
	"testing"
)

func TestBackupAgent(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("there is no python3; hack/test-servers.sh installs it")
	}
	for _, name := range []string{"agent_test.py", "postgres/backup-agent"} { // what go test does not see read it does not know
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), python, "agent_test.py").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
