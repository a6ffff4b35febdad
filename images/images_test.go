// Package images tests the programs in the operand images.
package images

import (
	"os/exec"
	"testing"
)

func TestBackupAgent(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 here")
	}
	if out, err := exec.CommandContext(t.Context(), python, "agent_test.py").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
