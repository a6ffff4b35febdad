package components

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/backup"
	"github.com/scalableapp/scalableapp-operator/internal/naming"
)

const patroniFile = "patroni.yml"

// identMap lets the image's user, postgres, be the replication role on the socket.
const identMap = "patroni"

// defaultMaxConnections fits some tens of app pods without a pooler, and the default memory limit: an
// idle connection costs 1 to 2 MB.
const defaultMaxConnections = "200"

func databaseConfig(in Input) Object {
	mode := bootstrapMode(in)
	return Object{Intent: corev1ac.ConfigMap(naming.DatabaseConfig(in.App), in.App.Namespace).
		WithLabels(labels(in.App, naming.ComponentDatabase)).
		WithAnnotations(map[string]string{naming.AnnotationBootstrap: mode}).
		WithOwnerReferences(owner(in.App)).
		WithData(map[string]string{
			patroniFile: patroniConfig(in.App, mode == bootstrapAllowed), memberFile: memberSettings(),
		})}
}

type object = map[string]any

// replicators are the two roles that take turns in replicating.
const replicators = postgresReplication + "," + postgresReplication + secondSuffix

// patroniConfig is patroni.yml. It holds no password: those are in a file of their own (patroniAuthentication).
func patroniConfig(app *v1alpha1.ScalableApp, bootstrap bool) string {
	config := object{
		"scope": naming.Database(app),
		"kubernetes": object{
			"namespace": app.Namespace,
			// Patroni selects pods by these labels and puts them on its ConfigMaps, where the operator's
			// caches look for them. They cannot change on a live database.
			"labels":             labels(app, naming.ComponentDatabase),
			"scope_label":        naming.LabelDatabase,
			"role_label":         naming.LabelRole,
			"leader_label_value": rolePrimary, "follower_label_value": roleReplica,
			// Endpoints are deprecated, and a switch on a live database could split it.
			"use_endpoints": false,
		},
		"restapi": object{"listen": fmt.Sprintf("0.0.0.0:%d", patroniPort)},
		"postgresql": object{
			"listen":   fmt.Sprintf("0.0.0.0:%d", postgresPort),
			"data_dir": pgData,
			"bin_dir":  fmt.Sprintf("/usr/lib/postgresql/%d/bin", version(app)),
			"pgpass":   postgresRunDir + "/.pgpass",
			// By the socket the superuser is known by its uid: kept volumes have other passwords.
			"use_unix_socket": true, "use_unix_socket_repl": true,
			"parameters": map[string]string{"unix_socket_directories": postgresRunDir},
			"pg_hba": []string{
				"local all postgres peer",
				// Patroni asks a replica for its position as the replication role, before it may promote it.
				// By uid too: on kept volumes the role has an earlier app's password until a primary sets
				// it, and without the answer there would never be one.
				"local replication " + replicators + " peer map=" + identMap,
				"host replication " + replicators + " all scram-sha-256",
				"host all all all scram-sha-256",
			},
			"pg_ident": []string{
				identMap + " postgres " + postgresReplication, identMap + " postgres " + postgresReplication + secondSuffix,
			},
			"callbacks": object{
				"on_start":       "/usr/local/bin/on-role-change",
				"on_role_change": "/usr/local/bin/on-role-change",
			},
			"basebackup": []any{object{"checkpoint": "fast"}},
		},
		"watchdog": object{"mode": "off"},
	}
	if bootstrap {
		first := object{
			"dcs": dynamicConfig(app.Spec.Database.Postgres),
			"initdb": []any{object{"encoding": "UTF8"}, object{"locale": "C.UTF-8"}, "data-checksums",
				object{"auth-local": "peer"}, object{"auth-host": "scram-sha-256"}},
			"post_bootstrap": "/usr/local/bin/post-bootstrap",
		}
		if backup.RestoreSpec(app) != nil {
			first["method"] = "backup"
			first["backup"] = object{"command": "/usr/local/bin/restore-backup", "no_params": true}
		}
		config["bootstrap"] = first
	}
	text, err := yaml.Marshal(config)
	if err != nil {
		panic(fmt.Sprintf("components: patroni.yml cannot be written: %v", err)) // only strings, numbers and lists
	}
	return "# Written by scalableapp-operator; changes are undone.\n" + string(text)
}

// dynamicConfig is what Patroni keeps in its -config record for all members. The timing keeps
// loop_wait + 2*retry_timeout <= ttl.
func dynamicConfig(postgres *v1alpha1.PostgresSpec) object {
	synchronous := postgres.Durability != v1alpha1.DurabilityAsynchronous
	config := object{
		"ttl": 20, "loop_wait": 5, "retry_timeout": 7,
		"primary_start_timeout": 0, "primary_stop_timeout": 20,
		"maximum_lag_on_failover": 1 << 20, "maximum_lag_on_syncnode": 16 << 20,
		"check_timeline": true,
		// The primary outlives an outage of the Kubernetes API as long as all members answer it.
		"failsafe_mode":    true,
		"synchronous_mode": synchronous,
		"member_slots_ttl": "5min",
		// Slots that others made for logical replication are theirs.
		"ignore_slots": []any{object{"type": "logical", "plugin": "pgoutput"}},
		"postgresql": object{
			"use_pg_rewind": true, "use_slots": true,
			// Only where a synchronous member has all that was acknowledged may a diverged copy go.
			"remove_data_directory_on_rewind_failure": synchronous,
			"parameters": parameters(postgres),
		},
	}
	if synchronous {
		config["synchronous_mode_strict"] = postgres.Durability == v1alpha1.DurabilityRequired
		config["synchronous_node_count"] = 1
	}
	return config
}

// dynamicConfigJSON is the dynamic configuration as Patroni keeps it in its record.
func dynamicConfigJSON(postgres *v1alpha1.PostgresSpec) string {
	text, err := json.Marshal(dynamicConfig(postgres))
	if err != nil {
		panic(fmt.Sprintf("components: the dynamic configuration cannot be written: %v", err))
	}
	return string(text)
}

// parameters are the settings of all members. They stand in the dynamic configuration alone, so that a change
// reaches a running member at once, and Patroni says which members need a restart for it.
func parameters(postgres *v1alpha1.PostgresSpec) map[string]string {
	memory := postgresMemory(postgres.Resources)
	parameters := map[string]string{
		// logical from the start, because raising it later takes a restart.
		"wal_level":             "logical",
		"max_connections":       defaultMaxConnections,
		"max_wal_senders":       "20",
		"max_replication_slots": "20",
		"max_worker_processes":  "8",
		"wal_log_hints":         "on",
		"password_encryption":   "scram-sha-256",
		"hot_standby_feedback":  "on",
		"shared_buffers":        megabytes(max(share(memory, 25), 16*mebi)),
		"effective_cache_size":  megabytes(max(share(memory, 75), 16*mebi)),
		// Checkpoints come early enough to leave a small volume to the data, and a slot that nobody
		// reads is given up before it fills the volume.
		"max_wal_size":           megabytes(min(max(share(postgres.Storage.Size, 20), 64*mebi), 4096*mebi)),
		"max_slot_wal_keep_size": megabytes(max(share(postgres.Storage.Size, 40), 64*mebi)),
	}
	if postgres.Backup != nil {
		// What was committed can be restored a minute later, however little is written.
		parameters["archive_timeout"] = "60s"
	}
	maps.Copy(parameters, userParameters(postgres))
	return parameters
}

// userParameters are the user's settings. PostgreSQL does not look at the case of a name, so all are in
// lower case here; of two that differ in nothing else, the first in the order of the alphabet stands.
func userParameters(postgres *v1alpha1.PostgresSpec) map[string]string {
	names := make([]string, 0, len(postgres.Parameters))
	for name := range postgres.Parameters {
		names = append(names, name)
	}
	slices.Sort(names)
	slices.Reverse(names)
	parameters := make(map[string]string, len(names))
	for _, name := range names {
		parameters[strings.ToLower(name)] = string(postgres.Parameters[name])
	}
	return parameters
}

const mebi = 1 << 20

func megabytes(bytes int64) string { return fmt.Sprintf("%dMB", bytes/mebi) }

// The resources of an instance when the user names none.
func defaultPostgresResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("256Mi")},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("512Mi")},
	}
}

// DatabaseResources are the resources of an instance.
func DatabaseResources(app *v1alpha1.ScalableApp) corev1.ResourceRequirements {
	if r := app.Spec.Database.Postgres.Resources; len(r.Limits) > 0 || len(r.Requests) > 0 {
		return withRequests(r)
	}
	return defaultPostgresResources()
}

// withRequests fills in what the API server does: a limit without a request is one.
func withRequests(r corev1.ResourceRequirements) corev1.ResourceRequirements {
	requests := maps.Clone(r.Requests)
	for name, limit := range r.Limits {
		if _, ok := requests[name]; !ok {
			if requests == nil {
				requests = corev1.ResourceList{}
			}
			requests[name] = limit
		}
	}
	return corev1.ResourceRequirements{Requests: requests, Limits: r.Limits}
}

// postgresMemory is the memory that the settings are derived from: the limit, or the request where
// there is none.
func postgresMemory(resources corev1.ResourceRequirements) resource.Quantity {
	if len(resources.Limits) == 0 && len(resources.Requests) == 0 {
		resources = defaultPostgresResources()
	}
	if limit, ok := resources.Limits[corev1.ResourceMemory]; ok {
		return limit
	}
	if request, ok := resources.Requests[corev1.ResourceMemory]; ok {
		return request
	}
	return defaultPostgresResources().Limits[corev1.ResourceMemory]
}

func version(app *v1alpha1.ScalableApp) int32 {
	if v := app.Spec.Database.Postgres.Version; v != 0 {
		return v
	}
	return 17
}
