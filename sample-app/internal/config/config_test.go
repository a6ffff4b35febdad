package config

import (
	"strings"
	"testing"
	"time"
)

func load(env map[string]string) (Config, error) {
	return Load(func(name string) string { return env[name] })
}

func TestAnEmptyEnvironmentIsAShopWithoutDependencies(t *testing.T) {
	c, err := load(nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Port != 8080 || c.DatabaseURL != "" || c.SessionTTL != 30*time.Minute || c.FaultsAtRuntime || c.Version != "dev" {
		t.Errorf("defaults: %+v", c)
	}
}

func TestAllMistakesAreReportedAtOnceAndNoPassword(t *testing.T) {
	_, err := load(map[string]string{"PORT": "0", "FAULT_ERROR_RATIO": "NaN", "FAULT_CRASH": "maybe", "SESSION_URL": "hunter2"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"PORT", "FAULT_ERROR_RATIO", "FAULT_CRASH", "SESSION_URL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error repeats the URL: %q", err)
	}
}

func TestFaults(t *testing.T) {
	c, err := load(map[string]string{"FAULT_ERROR_RATIO": "0.25", "FAULT_DELAY_MS": "40", "FAULT_NEVER_READY": "1", "FAULT_CRASH": "1", "FAULTS": "Enabled"})
	if err != nil || c.Faults.ErrorRatio != 0.25 || c.Faults.DelayMillis != 40 || !c.Faults.NeverReady || !c.CrashAtStart || !c.FaultsAtRuntime {
		t.Errorf("%+v, %v", c, err)
	}
}
