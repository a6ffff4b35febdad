// Package images tests the programs in the operand images.
package images

import (
	"os"
	"os/exec"
	"testing"
)

func TestBackupAgent(t *testing.T) { python(t, "agent_test.py", "postgres/backup-agent") }

func TestMemberAgent(t *testing.T) { python(t, "member_agent_test.py", "postgres/member-agent") }

// python runs tests in Python of a program.
func python(t *testing.T, tests, program string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("there is no python3; hack/test-servers.sh installs it")
	}
	for _, name := range []string{tests, program} { // what go test does not see read it does not know
		if _, err := os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), python, tests).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
