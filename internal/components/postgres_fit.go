package components

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

// agentPortName is the port of the agent in a member's pod.
const agentPortName = "agent"

// AgentPort is where a member's agent answers.
const AgentPort = 8009

// HasAgent says whether a member's pod has an agent: those of an older operator have none.
func HasAgent(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.Name == agentPortName })
	})
}

// DueParameters are PostgreSQL's settings as they are wanted, and whether those in force are others.
func DueParameters(in Input) (wanted map[string]string, due bool) {
	if !wantsPostgres(in.App) {
		return nil, false
	}
	wanted = parameters(in.App.Spec.Database.Postgres)
	return wanted, !maps.Equal(wanted, recordedParameters(in))
}

// recordedParameters are the settings that Patroni has been given; nil before the first start is over.
func recordedParameters(in Input) map[string]string {
	record := liveRecord(in, databaseRecord(in))
	if record == nil {
		return nil
	}
	var config struct {
		PostgreSQL struct {
			Parameters map[string]any `json:"parameters"`
		} `json:"postgresql"`
	}
	if json.Unmarshal([]byte(record.Annotations[recordConfig]), &config) != nil {
		return nil
	}
	recorded := make(map[string]string, len(config.PostgreSQL.Parameters))
	for name, value := range config.PostgreSQL.Parameters {
		recorded[name] = fmt.Sprint(value)
	}
	return recorded
}

// DatabaseFits says why the database cannot be as the spec wants it, or nil. Then nothing of it is changed:
// what runs goes on.
func DatabaseFits(in Input) error {
	if !wantsPostgres(in.App) {
		return nil
	}
	for _, fits := range []error{PoolerFits(in.App), memoryFits(in.App.Spec.Database.Postgres), parametersFit(in)} {
		if fits != nil {
			return fits
		}
	}
	return nil
}

// ParametersUnanswered is why nobody can say yet whether PostgreSQL takes its new settings, "" if somebody did
// or if there is nothing to ask. While nobody takes the writes it is not waited for: the new settings may be
// what mends it.
func ParametersUnanswered(in Input) string {
	if in.Observed.Parameters == nil || !DatabaseInitialized(in) {
		return ""
	}
	primary := databaseSelector(in)
	primary[naming.LabelRole] = rolePrimary
	if !slices.ContainsFunc(in.Observed.PodsWith(primary), ready) {
		return ""
	}
	return in.Observed.Parameters.Unanswered
}

// parametersFit is PostgreSQL's own word.
func parametersFit(in Input) error {
	check := in.Observed.Parameters
	if check == nil {
		return nil
	}
	if len(check.Refused) > 0 {
		meanwhile := "the database goes on with the settings that it has"
		if !DatabaseInitialized(in) {
			meanwhile = "no database is made with them"
		}
		return fmt.Errorf("database.postgres.parameters: PostgreSQL refuses them: %s; %s; correct them, or remove what is wrong",
			strings.Join(check.Refused, "; "), meanwhile)
	}
	limit, limited := memoryLimit(in.App.Spec.Database.Postgres)
	if limited && check.SharedMemory+serverMemory > limit {
		return fmt.Errorf("database.postgres.resources.limits.memory is too small for database.postgres.parameters: "+
			"PostgreSQL would take %s of shared memory + %s for its and Patroni's processes = %s, and the limit is %s; "+
			"raise it, or lower shared_buffers, max_connections or max_locks_per_transaction",
			megabytes(check.SharedMemory), megabytes(serverMemory), megabytes(check.SharedMemory+serverMemory), megabytes(limit))
	}
	return nil
}

// serverMemory is what PostgreSQL's and Patroni's own processes take at the least, besides the shared memory.
const serverMemory = 64 * mebi

// memoryLimit is the memory limit of an instance, if there is one.
func memoryLimit(postgres *v1alpha1.PostgresSpec) (bytes int64, limited bool) {
	resources := postgres.Resources
	if len(resources.Limits) == 0 && len(resources.Requests) == 0 {
		resources = defaultPostgresResources()
	}
	limit, limited := resources.Limits[corev1.ResourceMemory]
	return limit.Value(), limited
}

// memoryFits says why the settings cannot work within the memory limit. It reckons with what is sure: the
// shared buffers, and one operation at a time. With more the kernel ends PostgreSQL, and every connection with
// it, at the first sort that is large enough.
func memoryFits(postgres *v1alpha1.PostgresSpec) error {
	limit, limited := memoryLimit(postgres)
	if !limited {
		return nil
	}
	settings := parameters(postgres)
	buffers, known := settingBytes(settings["shared_buffers"], 8<<10)
	if !known {
		return nil // PostgreSQL itself says why
	}
	const field = "database.postgres.resources.limits.memory is too small for database.postgres.parameters: "
	if total := buffers + serverMemory; total > limit {
		return fmt.Errorf(field+"%s (shared_buffers) + %s for PostgreSQL's and Patroni's processes = %s, and the limit is %s; "+
			"raise it, or lower shared_buffers (25%% of the limit when it is left out)",
			megabytes(buffers), megabytes(serverMemory), megabytes(total), megabytes(limit))
	}
	for _, name := range []string{"work_mem", "maintenance_work_mem", "autovacuum_work_mem"} {
		one, known := settingBytes(settings[name], 1<<10)
		if total := buffers + serverMemory + one; known && total > limit {
			return fmt.Errorf(field+"%s (shared_buffers) + %s for PostgreSQL's and Patroni's processes + %s (%s, for one operation) = %s, "+
				"and the limit is %s; raise it, or lower %s", megabytes(buffers), megabytes(serverMemory), megabytes(one), name,
				megabytes(total), megabytes(limit), name)
		}
	}
	return nil
}

var memorySetting = regexp.MustCompile(`^\s*([0-9]{1,15})\s*(B|kB|MB|GB|TB)?\s*$`)

// settingBytes reads a setting of memory as PostgreSQL does; a number alone counts blocks of the setting's
// own unit. What it does not understand is left to PostgreSQL.
func settingBytes(value string, unit int64) (bytes int64, known bool) {
	match := memorySetting.FindStringSubmatch(value)
	if match == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		return 0, false
	}
	if match[2] != "" {
		unit = map[string]int64{"B": 1, "kB": 1 << 10, "MB": mebi, "GB": 1 << 30, "TB": 1 << 40}[match[2]]
	}
	const most = 1 << 50
	if n > most/unit {
		return most, true
	}
	return n * unit, true
}
