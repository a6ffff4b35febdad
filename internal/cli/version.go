package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
)

// versionText is the plugin's version, the commit that it was built from, and the API it speaks.
func versionText(version string) string {
	if info, ok := debug.ReadBuildInfo(); ok && version == "dev" {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
				version += "-" + setting.Value[:12]
			}
		}
	}
	return fmt.Sprintf("kubectl-scalableapp %s (%s, %s, %s/%s)", version, v1alpha1.GroupVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
