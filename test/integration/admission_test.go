package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/scalableapp/scalableapp-operator/api/v1alpha1"
	"github.com/scalableapp/scalableapp-operator/internal/testkit"
)

const (
	app      = "app: {image: registry.example/shop:1.4.2}\n"
	postgres = app + "database: {postgres: {storage: {size: 10Gi}}}\n"
)

// The specs that are refused at birth, each with what the message must hold: the field and the way out.
func TestRefusedAtBirth(t *testing.T) {
	for name, c := range map[string]struct {
		object string // name, "shop" when empty
		spec   string
		want   []string
	}{
		"no app":        {spec: `paused: true`, want: []string{"spec.app", "Required"}},
		"image empty":   {spec: `app: {image: ""}`, want: []string{"spec.app.image", "at least 1 char"}},
		"image missing": {spec: `app: {port: 80}`, want: []string{"spec.app.image", "Required"}},
		"image with white space": {
			spec: `app: {image: "shop: 1.4.2"}`,
			want: []string{"spec.app.image", "REPOSITORY:TAG"},
		},
		"port out of range":  {spec: `app: {image: i, port: 70000}`, want: []string{"spec.app.port", "65535"}},
		"negative replicas":  {spec: `app: {image: i, replicas: -1}`, want: []string{"spec.app.replicas"}},
		"replicas no number": {spec: `app: {image: i, replicas: many}`, want: []string{"spec.app.replicas", "integer"}},
		"variable with two sources": {
			spec: `app: {image: i, env: [{name: A, value: a, valueFrom: {secretKeyRef: {name: s, key: k}}}]}`,
			want: []string{"spec.app.env", "either value or valueFrom; remove one"},
		},
		"variable twice": {
			spec: `app: {image: i, env: [{name: A, value: a}, {name: A, value: b}]}`,
			want: []string{"spec.app.env[1]", "Duplicate"},
		},
		"probe path without slash": {
			spec: `app: {image: i, probes: {readiness: {path: readyz}}}`,
			want: []string{"spec.app.probes.readiness.path", "^/"},
		},
		"probe without path": {
			spec: `app: {image: i, probes: {liveness: {periodSeconds: 5}}}`,
			want: []string{"spec.app.probes.liveness.path", "Required"},
		},
		"migration without command": {
			spec: `app: {image: i, migration: {command: []}}`,
			want: []string{"spec.app.migration.command", "at least 1 item"},
		},
		"service account that cannot exist": {
			spec: `app: {image: i, serviceAccountName: My_Account}`,
			want: []string{"app.serviceAccountName must be the name of a ServiceAccount"},
		},
		"name too long": {
			object: strings.Repeat("a", 41), spec: app,
			want: []string{"metadata.name must be at most 40 characters", "shorter name"},
		},
		"name with a dot":      {object: "shop.eu", spec: app, want: []string{"metadata.name", "choose another name"}},
		"name with a digit up": {object: "1shop", spec: app, want: []string{"metadata.name", "choose another name"}},

		"managed and external database": {
			spec: app + `database: {postgres: {storage: {size: 1Gi}}, external: {secretName: s}}`,
			want: []string{"spec.database", "exactly one of database.postgres", "database.external", "remove the other"},
		},
		"neither managed nor external": {
			spec: app + `database: {}`,
			want: []string{"spec.database", "exactly one of database.postgres", "database.external"},
		},
		"postgres without storage": {
			spec: app + `database: {postgres: {}}`,
			want: []string{"spec.database.postgres.storage", "Required"},
		},
		"storage without size": {
			spec: app + `database: {postgres: {storage: {onDelete: Delete}}}`,
			want: []string{"spec.database.postgres.storage.size", "Required"},
		},
		"storage of nothing": {
			spec: app + `database: {postgres: {storage: {size: "0"}}}`,
			want: []string{"storage.size must be greater than 0, for example 10Gi"},
		},
		"storage no quantity": {
			spec: app + `database: {postgres: {storage: {size: much}}}`,
			want: []string{"spec.database.postgres.storage.size"},
		},
		"storage class that cannot exist": {
			spec: app + `database: {postgres: {storage: {size: 1Gi, storageClassName: Fast_SSD}}}`,
			want: []string{"storage.storageClassName must be the name of a StorageClass"},
		},
		"no instance": {
			spec: app + `database: {postgres: {instances: 0, storage: {size: 1Gi}}}`,
			want: []string{"spec.database.postgres.instances", "greater than or equal to 1"},
		},
		"too many instances": {
			spec: app + `database: {postgres: {instances: 10, storage: {size: 1Gi}}}`,
			want: []string{"spec.database.postgres.instances", "less than or equal to 9"},
		},
		"unknown version": {
			spec: app + `database: {postgres: {version: 9, storage: {size: 1Gi}}}`,
			want: []string{"spec.database.postgres.version", "supported values", "17"},
		},
		"unknown durability": {
			spec: app + `database: {postgres: {durability: Maybe, storage: {size: 1Gi}}}`,
			want: []string{"spec.database.postgres.durability", `"Asynchronous", "Preferred", "Required"`},
		},
		"durability Required with one instance": {
			spec: app + `database: {postgres: {instances: 1, durability: Required, storage: {size: 1Gi}}}`,
			want: []string{"spec.database.postgres", "instances of at least 2", "raise instances or choose Preferred"},
		},
		"memory that PostgreSQL does not live with": {
			spec: app + `database: {postgres: {storage: {size: 1Gi}, resources: {limits: {memory: 100Mi}}}}`,
			want: []string{"spec.database.postgres", "limits.memory must be at least 128Mi"},
		},
		"poolers that may open more connections than there are": {
			spec: app + `database: {postgres: {pooler: {poolSize: 23}, storage: {size: 1Gi}}}`, // 24 x 2 x 2 x 2 + 13 = 205
			want: []string{"spec.database.postgres", "(poolSize + 1) x 2 x pooler.instances", "which is 200", "set max_connections"},
		},
		"poolers that may open more connections than max_connections": {
			spec: app + `database: {postgres: {instances: 1, pooler: {poolSize: 30}, parameters: {Max_Connections: "136"}, storage: {size: 1Gi}}}`,
			want: []string{"spec.database.postgres", "at most max_connections in database.postgres.parameters: raise it"},
		},
		"a parameter that the operator needs": {
			spec: app + `database: {postgres: {parameters: {wal_level: logical}, storage: {size: 1Gi}}}`,
			want: []string{"spec.database.postgres.parameters", "wal_level", "remove it"},
		},
		"external without a name": {
			spec: app + `database: {external: {secretName: ""}}`,
			want: []string{"spec.database.external.secretName"},
		},
		"external with a name that cannot exist": {
			spec: app + `database: {external: {secretName: Shop_DB}}`,
			want: []string{"database.external.secretName must be the name of a Secret"},
		},

		"unknown store": {
			spec: app + `sessions: {store: Disk}`,
			want: []string{"spec.sessions.store", `supported values: "Redis"`},
		},
		"sessions in too little memory": {
			spec: app + `sessions: {redis: {memory: 16Mi}}`,
			want: []string{"sessions.redis.memory must be at least 64Mi"},
		},
		"sessions on too small a volume": {
			spec: app + `sessions: {redis: {memory: 4Gi}}`,
			want: []string{"sessions.redis.storage.size must be at least twice sessions.redis.memory", "raise storage.size or lower"},
		},
		"cache without a kind": {spec: app + `cache: {}`, want: []string{"set exactly one of cache.redis", "write redis: {}"}},
		"cache in too little memory": {
			spec: app + `cache: {redis: {memory: 1Mi}}`,
			want: []string{"cache.redis.memory must be at least 64Mi"},
		},

		"autoscaling upside down": {
			spec: app + `autoscaling: {minReplicas: 5, maxReplicas: 3, cpuUtilizationPercent: 70}`,
			want: []string{"spec.autoscaling", "minReplicas (2 when left out)", "raise maxReplicas or lower minReplicas"},
		},
		"autoscaling below the default": {
			spec: app + `autoscaling: {maxReplicas: 1, cpuUtilizationPercent: 70}`,
			want: []string{"minReplicas (2 when left out)"},
		},
		"autoscaling without a signal": {
			spec: app + `autoscaling: {maxReplicas: 3}`,
			want: []string{"autoscaling needs a signal", "autoscaling.cpuUtilizationPercent"},
		},
		"autoscaling without an end": {
			spec: app + `autoscaling: {cpuUtilizationPercent: 70}`,
			want: []string{"spec.autoscaling.maxReplicas", "Required"},
		},

		"unknown strategy": {
			spec: app + `rollout: {strategy: Recreate}`,
			want: []string{"spec.rollout.strategy", `supported values: "Rolling", "BlueGreen", "Canary"`},
		},
		"a rollout that can replace nothing": {
			spec: app + `rollout: {rolling: {maxSurge: 0, maxUnavailable: 0%}}`,
			want: []string{"spec.rollout.rolling", "must not both be 0", "set maxSurge to 1 or more"},
		},
		"surge no percentage": {
			spec: app + `rollout: {rolling: {maxSurge: some}}`,
			want: []string{"rollout.rolling.maxSurge must be a number of pods or a percentage such as 25%"},
		},
		"more than all unavailable": {
			spec: app + `rollout: {rolling: {maxUnavailable: 101%}}`,
			want: []string{"rollout.rolling.maxUnavailable must be a number of pods or a percentage from 0% to 100%"},
		},
		"steps that do not ascend": {
			spec: app + `rollout: {strategy: Canary, canary: {steps: [{weight: 50}, {weight: 20}]}}`,
			want: []string{"spec.rollout.canary.steps", "must ascend"},
		},
		"the same step twice": {
			spec: app + `rollout: {strategy: Canary, canary: {steps: [{weight: 50}, {weight: 50}]}}`,
			want: []string{"spec.rollout.canary.steps", "must ascend"},
		},
		"a step above 100": {
			spec: app + `rollout: {strategy: Canary, canary: {steps: [{weight: 101}]}}`,
			want: []string{"spec.rollout.canary.steps[0].weight", "less than or equal to 100"},
		},
		"a step of nothing": {
			spec: app + `rollout: {strategy: Canary, canary: {steps: [{weight: 0}]}}`,
			want: []string{"spec.rollout.canary.steps[0].weight", "greater than or equal to 1"},
		},
		"unknown approval": {
			spec: app + `rollout: {strategy: BlueGreen, blueGreen: {approval: Perhaps}}`,
			want: []string{"spec.rollout.blueGreen.approval", `"None", "Required"`},
		},
		"no preview": {
			spec: app + `rollout: {strategy: BlueGreen, blueGreen: {previewReplicas: 0}}`,
			want: []string{"spec.rollout.blueGreen.previewReplicas", "greater than or equal to 1"},
		},
		"gate with two sources": {
			spec: app + `rollout: {gates: [{name: g, http: {path: /}, job: {command: [a]}}]}`,
			want: []string{"spec.rollout.gates[0]", "exactly one source", "http, metric, job and webhook"},
		},
		"gate without a source": {
			spec: app + `rollout: {gates: [{name: g}]}`,
			want: []string{"spec.rollout.gates[0]", "exactly one source"},
		},
		"gate twice": {
			spec: app + `rollout: {gates: [{name: g, http: {path: /}}, {name: g, http: {path: /}}]}`,
			want: []string{"spec.rollout.gates[1]", "Duplicate"},
		},
		"gate with a name that is none": {
			spec: app + `rollout: {gates: [{name: Smoke_Test, http: {path: /}}]}`,
			want: []string{"spec.rollout.gates[0].name", "lower-case letters"},
		},
		"gate on a path without slash": {
			spec: app + `rollout: {gates: [{name: g, http: {path: selftest}}]}`,
			want: []string{"spec.rollout.gates[0].http.path", "^/"},
		},
		"metric before traffic": {
			spec: app + `rollout: {gates: [{name: g, when: BeforeTraffic, metric: {indicator: ErrorRatio, max: "0.01"}}]}`,
			want: []string{"spec.rollout.gates[0]", "a metric gate needs traffic"},
		},
		"metric without a limit": {
			spec: app + `rollout: {gates: [{name: g, metric: {indicator: ErrorRatio}}]}`,
			want: []string{"spec.rollout.gates[0].metric", "needs a limit", "metric.max"},
		},
		"metric without an indicator": {
			spec: app + `rollout: {gates: [{name: g, metric: {max: "1"}}]}`,
			want: []string{"spec.rollout.gates[0].metric", "ErrorRatio or LatencyQuantile"},
		},
		"limit that is no number": {
			spec: app + `rollout: {gates: [{name: g, metric: {indicator: ErrorRatio, max: "1%"}}]}`,
			want: []string{"spec.rollout.gates[0].metric.max", `must be a number such as "0.01"`},
		},
		"negative ratio": {
			spec: app + `rollout: {strategy: Canary, gates: [{name: g, metric: {indicator: ErrorRatio, maxRatioToStable: "-1"}}]}`,
			want: []string{"spec.rollout.gates[0].metric.maxRatioToStable", `must be a number such as "1.5"`},
		},
		"quantile above one": {
			spec: app + `rollout: {gates: [{name: g, metric: {indicator: LatencyQuantile, quantile: "99", max: "1"}}]}`,
			want: []string{"spec.rollout.gates[0].metric.quantile", "between 0 and 1"},
		},
		"ratio to stable without a canary": {
			spec: app + `rollout: {strategy: BlueGreen, gates: [{name: g, metric: {indicator: ErrorRatio, maxRatioToStable: "2"}}]}`,
			want: []string{"spec.rollout", "only the strategy Canary gives", "use metric.max"},
		},
		"Prometheus without a query": {
			spec: app + `rollout: {gates: [{name: g, metric: {source: Prometheus, max: "1", prometheus: {address: "http://p"}}}]}`,
			want: []string{"spec.rollout.gates[0].metric.prometheus.query", "Required"},
		},
		"Prometheus without its settings": {
			spec: app + `rollout: {gates: [{name: g, metric: {source: Prometheus, max: "1"}}]}`,
			want: []string{"spec.rollout.gates[0].metric", "metric.prometheus together"},
		},
		"Prometheus at no URL": {
			spec: app + `rollout: {gates: [{name: g, metric: {source: Prometheus, max: "1", prometheus: {address: "p:9090", query: up}}}]}`,
			want: []string{"spec.rollout.gates[0].metric.prometheus.address", "must be a URL such as"},
		},
		"webhook at no URL": {
			spec: app + `rollout: {gates: [{name: g, webhook: {url: deploy.example}}]}`,
			want: []string{"spec.rollout.gates[0].webhook.url", "must be a URL such as"},
		},
		"webhook by another protocol": {
			spec: app + `rollout: {gates: [{name: g, webhook: {url: "ftp://deploy.example/"}}]}`,
			want: []string{"spec.rollout.gates[0].webhook.url", "must be a URL such as"},
		},
		"job without a command": {
			spec: app + `rollout: {gates: [{name: g, job: {image: k6}}]}`,
			want: []string{"spec.rollout.gates[0].job.command", "Required"},
		},
		"gateway without a Gateway": {
			spec: app + `traffic: {gateway: {parentRefs: []}}`,
			want: []string{"spec.traffic.gateway.parentRefs", "at least 1 item"},
		},
		"host name that is none": {
			spec: app + `traffic: {gateway: {parentRefs: [{name: web}], hostnames: ["https://shop.example"]}}`,
			want: []string{"spec.traffic.gateway.hostnames[0]", "should match"},
		},
		"settling for an hour": {
			spec: app + `traffic: {settleSeconds: 3600}`,
			want: []string{"spec.traffic.settleSeconds", "less than or equal to 300"},
		},
		"deadline too short": {
			spec: app + `rollout: {progressDeadlineSeconds: 1}`,
			want: []string{"spec.rollout.progressDeadlineSeconds", "greater than or equal to 10"},
		},

		"unknown field":           {spec: app + `replicas: 3`, want: []string{`unknown field "spec.replicas"`}},
		"unknown field in depth":  {spec: `app: {image: i, imagePullPolicy: Always}`, want: []string{`unknown field "spec.app.imagePullPolicy"`}},
		"misspelt field":          {spec: app + `database: {postgres: {instance: 3, storage: {size: 1Gi}}}`, want: []string{`unknown field "spec.database.postgres.instance"`}},
		"unknown field in a list": {spec: `app: {image: i, env: [{nam: A, name: A}]}`, want: []string{`unknown field "spec.app.env[0].nam"`}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.object == "" {
				c.object = "shop"
			}
			wantRefusal(t, newClient(t).Create(t.Context(), object(t, namespace(t), c.object, c.spec)), c.want)
		})
	}
}

// The changes that a live app refuses. Each starts from a spec that is accepted.
func TestRefusedChange(t *testing.T) {
	const redis = app + "sessions: {redis: {storage: {size: 2Gi}}}\n"
	for name, c := range map[string]struct {
		from, to string
		want     []string
	}{
		"storage shrinks": {
			from: postgres, to: app + `database: {postgres: {storage: {size: 9Gi}}}`,
			want: []string{"spec.database.postgres.storage", "storage.size cannot shrink", "create a new ScalableApp", "or set it back"},
		},
		"storage shrinks in another unit": {
			from: postgres, to: app + `database: {postgres: {storage: {size: 10G}}}`,
			want: []string{"storage.size cannot shrink"},
		},
		"the volume of the backups shrinks": {
			from: app + `database: {postgres: {backup: {volume: {size: 5Gi}}, storage: {size: 10Gi}}}`,
			to:   app + `database: {postgres: {backup: {volume: {size: 4Gi}}, storage: {size: 10Gi}}}`,
			want: []string{"storage.size cannot shrink"},
		},
		"the volume of the backups shrinks from that of the database": {
			from: app + `database: {postgres: {backup: {}, storage: {size: 10Gi}}}`,
			to:   app + `database: {postgres: {backup: {volume: {size: 9Gi}}, storage: {size: 10Gi}}}`,
			want: []string{"the volume of the backups cannot shrink", "database.postgres.backup.volume.size", "not smaller than before"},
		},
		"the volume of the backups shrinks to that of the database": {
			from: app + `database: {postgres: {backup: {volume: {size: 20Gi}}, storage: {size: 10Gi}}}`,
			to:   app + `database: {postgres: {backup: {}, storage: {size: 11Gi}}}`,
			want: []string{"the volume of the backups cannot shrink"},
		},
		"the volume of the backups loses its class": {
			from: app + `database: {postgres: {backup: {}, storage: {size: 10Gi, storageClassName: fast}}}`,
			to:   app + `database: {postgres: {backup: {volume: {size: 20Gi}}, storage: {size: 10Gi, storageClassName: fast}}}`,
			want: []string{"the StorageClass of the backups' volume cannot be changed", "backup.volume.storageClassName"},
		},
		"storage class set": {
			from: postgres, to: app + `database: {postgres: {storage: {size: 10Gi, storageClassName: fast}}}`,
			want: []string{"storage.storageClassName cannot be changed on a live volume", "create a new ScalableApp"},
		},
		"storage class changes": {
			from: app + `database: {postgres: {storage: {size: 10Gi, storageClassName: slow}}}`,
			to:   app + `database: {postgres: {storage: {size: 10Gi, storageClassName: fast}}}`,
			want: []string{"storage.storageClassName cannot be changed on a live volume"},
		},
		"storage class removed": {
			from: app + `database: {postgres: {storage: {size: 10Gi, storageClassName: slow}}}`, to: postgres,
			want: []string{"storage.storageClassName cannot be changed on a live volume"},
		},
		"restore set later": {
			from: postgres, to: app + `database: {postgres: {restore: {fromApp: other}, storage: {size: 10Gi}}}`,
			want: []string{"database.postgres.restore can only be set when the database is created", "create a new ScalableApp"},
		},
		"from managed to external": {
			from: postgres, to: app + `database: {external: {secretName: s}}`,
			want: []string{"spec.database", "cannot be exchanged", "create a new ScalableApp"},
		},
		"from external to managed": {
			from: app + `database: {external: {secretName: s}}`, to: postgres,
			want: []string{"spec.database", "cannot be exchanged"},
		},
		"database removed": {
			from: postgres, to: app,
			want: []string{"database cannot be removed from a live app", "put it back"},
		},
		"instances to nothing": {
			from: postgres, to: app + `database: {postgres: {instances: 0, storage: {size: 10Gi}}}`,
			want: []string{"spec.database.postgres.instances"},
		},
		"session storage shrinks": {
			from: redis, to: app + `sessions: {redis: {storage: {size: 1Gi}}}`,
			want: []string{"spec.sessions.redis.storage", "storage.size cannot shrink"},
		},
		"session persistence": {
			from: redis, to: app + `sessions: {redis: {persistence: Disabled, storage: {size: 2Gi}}}`,
			want: []string{"sessions.redis.persistence cannot be changed on a live session store", "set it back"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k8s := newClient(t)
			live := object(t, namespace(t), "shop", c.from)
			if err := k8s.Create(t.Context(), live); err != nil {
				t.Fatalf("create: %v", err)
			}
			changed := object(t, live.GetNamespace(), "shop", c.to)
			changed.SetResourceVersion(live.GetResourceVersion())
			wantRefusal(t, k8s.Update(t.Context(), changed), c.want)
		})
	}
}

// What can change on a live database.
func TestAcceptedChange(t *testing.T) {
	for name, to := range map[string]string{
		"storage grows":                    `database: {postgres: {storage: {size: 11Gi}}}`,
		"durability":                       `database: {postgres: {durability: Asynchronous, storage: {size: 10Gi}}}`,
		"a setting that all members share": `database: {postgres: {parameters: {max_connections: "300"}, storage: {size: 10Gi}}}`,
		"a pooler":                         `database: {postgres: {pooler: {}, storage: {size: 10Gi}}}`,
		"a pooler that just fits":          `database: {postgres: {pooler: {poolSize: 22}, storage: {size: 10Gi}}}`,
		"one that fits max_connections":    `database: {postgres: {pooler: {poolSize: 30}, parameters: {max_connections: "261"}, storage: {size: 10Gi}}}`,
		"backups":                          `database: {postgres: {backup: {}, storage: {size: 10Gi}}}`,
		"backups on a volume of their own": `database: {postgres: {backup: {volume: {size: 5Gi}}, storage: {size: 10Gi}}}`,
		"more instances":                   `database: {postgres: {instances: 3, storage: {size: 10Gi}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			k8s := newClient(t)
			live := object(t, namespace(t), "shop", postgres)
			if err := k8s.Create(t.Context(), live); err != nil {
				t.Fatalf("create: %v", err)
			}
			changed := object(t, live.GetNamespace(), "shop", app+to)
			changed.SetResourceVersion(live.GetResourceVersion())
			if err := k8s.Update(t.Context(), changed); err != nil {
				t.Errorf("refused: %v", err)
			}
		})
	}
}

// The version can only change when there are two of them, so its rule is tried on the stored schema's
// word alone: the enum refuses first.
func TestVersionIsFixed(t *testing.T) {
	k8s := newClient(t)
	live := object(t, namespace(t), "shop", postgres)
	if err := k8s.Create(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"database":{"postgres":{"version":18}}}}`))
	wantRefusal(t, k8s.Patch(t.Context(), live, patch), []string{"spec.database.postgres.version"})
}

// The specs that are accepted, and changes that are.
func TestAccepted(t *testing.T) {
	for name, c := range map[string]struct{ spec, then string }{
		"smallest":            {spec: app},
		"upgrade":             {spec: app, then: `app: {image: registry.example/shop:1.5.0}`},
		"by digest":           {spec: `app: {image: "shop@sha256:` + strings.Repeat("0", 64) + `"}`},
		"name of 40":          {spec: app},
		"sessions by default": {spec: app + `sessions: {}`, then: app},
		"same size, other unit": {
			spec: postgres, then: app + `database: {postgres: {storage: {size: 10240Mi}}}`,
		},
		"size as a number": {spec: app + `database: {postgres: {storage: {size: 10737418240}}}`, then: postgres},
		"more instances":   {spec: postgres, then: app + `database: {postgres: {instances: 3, storage: {size: 10Gi}}}`},
		"parameters": {
			spec: postgres,
			then: app + `database: {postgres: {parameters: {work_mem: 16MB, max_wal_size: 2GB}, storage: {size: 10Gi}}}`,
		},
		"all members share a setting": {
			spec: app + `database: {postgres: {parameters: {max_connections: "200"}, storage: {size: 10Gi}}}`,
			then: app + `database: {postgres: {parameters: {max_connections: "200", work_mem: 8MB}, storage: {size: 10Gi}}}`,
		},
		"another Secret": {
			spec: app + `database: {external: {secretName: a}}`, then: app + `database: {external: {secretName: b.c-d}}`,
		},
		"database later":     {spec: app, then: postgres},
		"onDelete":           {spec: postgres, then: app + `database: {postgres: {storage: {size: 10Gi, onDelete: Delete}}}`},
		"memory of sessions": {spec: app + `sessions: {}`, then: app + `sessions: {redis: {memory: 512Mi}}`},
		"volatile sessions":  {spec: app + `sessions: {redis: {persistence: Disabled, memory: 4Gi}}`},
		"surge in numbers":   {spec: app + `rollout: {rolling: {maxSurge: 0, maxUnavailable: 1}}`},
		"surge of all":       {spec: app + `rollout: {rolling: {maxSurge: 200%, maxUnavailable: 100%}}`},
		"autoscaling":        {spec: app + `autoscaling: {maxReplicas: 9, memoryUtilizationPercent: 80}`, then: app},
		"blue-green": {
			spec: app + `rollout: {strategy: BlueGreen, blueGreen: {approval: Required, previewReplicas: 1}}`,
			then: app + `rollout: {strategy: Canary, canary: {steps: [{weight: 1}, {weight: 100, approval: Required}]}}`,
		},
		"gates": {spec: app + `rollout: {strategy: Canary, gates: [
			{name: self, http: {path: /selftest}}, {name: smoke, job: {command: [/smoke]}},
			{name: ask, webhook: {url: "https://deploy.example/may"}},
			{name: errors, metric: {indicator: ErrorRatio, max: "0.01", maxRatioToStable: "1.5"}},
			{name: slow, metric: {source: Prometheus, max: "0.5", prometheus: {address: "http://prometheus.monitoring:9090", query: up}}}]}`},
		"gateway": {
			spec: app + `traffic: {gateway: {parentRefs: [{name: web, namespace: edge, sectionName: https}], hostnames: ["*.example", shop.example]}}`, then: app,
		},
		"scaled to nothing": {spec: `app: {image: i, replicas: 0}`},
		"pod template":      {spec: `app: {image: i, podTemplate: {spec: {priorityClassName: high, whatever: [1]}}}`},
		"variables": {
			spec: `app: {image: i, env: [{name: A, value: ""}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}`,
		},
		"migration": {spec: `app: {image: i, migration: {command: [/shop, migrate], rollbackSafe: "No"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			k8s, live := newClient(t), object(t, namespace(t), strings.Repeat("a", 40), c.spec)
			if err := k8s.Create(t.Context(), live); err != nil {
				t.Fatalf("create: %v", err)
			}
			if c.then == "" {
				return
			}
			changed := object(t, live.GetNamespace(), live.GetName(), c.then)
			changed.SetResourceVersion(live.GetResourceVersion())
			if err := k8s.Update(t.Context(), changed); err != nil {
				t.Errorf("update: %v", err)
			}
		})
	}
}

// The defaults are what docs/api.md says, all at once, for the object that leaves everything out that
// can be left out.
func TestDefaults(t *testing.T) {
	k8s := newClient(t)
	live := object(t, namespace(t), "shop", postgres+"sessions: {}\ncache: {redis: {}}\n"+
		"autoscaling: {maxReplicas: 9, cpuUtilizationPercent: 70}\n")
	if err := unstructured.SetNestedMap(live.Object, map[string]any{}, "spec", "app", "metrics"); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedField(live.Object, []any{"m"}, "spec", "app", "migration", "command"); err != nil {
		t.Fatal(err)
	}
	if err := k8s.Create(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(live), live); err != nil {
		t.Fatal(err)
	}
	want := `
app:
  image: registry.example/shop:1.4.2
  port: 8080
  replicas: 2
  metrics: {path: /metrics}
  migration: {command: [m], timeoutSeconds: 300, rollbackSafe: "Yes"}
autoscaling: {minReplicas: 2, maxReplicas: 9, cpuUtilizationPercent: 70}
cache: {redis: {members: 1, memory: 128Mi}}
database:
  postgres: {version: 17, instances: 2, durability: Preferred, storage: {size: 10Gi, onDelete: Retain}}
networkPolicy: Enabled
rollout:
  strategy: Rolling
  rolling: {maxSurge: 25%, maxUnavailable: 0}
  progressDeadlineSeconds: 600
  rollbackHoldSeconds: 300
  revisionHistoryLimit: 10
traffic: {settleSeconds: 5}
sessions:
  store: Redis
  redis: {members: 3, eviction: Refuse, memory: 256Mi, persistence: Enabled, storage: {size: 1Gi, onDelete: Retain}}
`
	if diff := cmp.Diff(parse(t, want), parse(t, render(t, live.Object["spec"]))); diff != "" {
		t.Errorf("spec with defaults (-want +got):\n%s", diff)
	}
}

// At birth, before any controller, an object must neither look finished nor break an autoscaler.
func TestAtBirth(t *testing.T) {
	k8s := newClient(t)
	live := object(t, namespace(t), "shop", app)
	live.Object["status"] = map[string]any{"observedGeneration": int64(7)} // not the user's to say
	if err := k8s.Create(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(live), live); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"observedGeneration": int64(-1)}, live.Object["status"]); diff != "" {
		t.Errorf("status at birth (-want +got):\n%s", diff)
	}

	typed := &v1alpha1.ScalableApp{}
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(live), typed); err != nil {
		t.Fatal(err)
	}
	scale := &autoscalingv1.Scale{}
	if err := k8s.SubResource("scale").Get(t.Context(), typed, scale); err != nil {
		t.Fatalf("GET scale: %v", err)
	}
	if scale.Spec.Replicas != 2 || scale.Status.Replicas != 0 {
		t.Errorf("scale = %d wanted, %d there; want the default 2 and 0", scale.Spec.Replicas, scale.Status.Replicas)
	}
	scale.Spec.Replicas = 5
	if err := k8s.SubResource("scale").Update(t.Context(), typed, client.WithSubResourceBody(scale)); err != nil {
		t.Fatalf("PUT scale: %v", err)
	}
	if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(live), typed); err != nil {
		t.Fatal(err)
	}
	if replicas := ptr.Deref(typed.Spec.App.Replicas, -1); replicas != 5 {
		t.Errorf("spec.app.replicas = %d after scaling to 5", replicas)
	}
}

func wantRefusal(t *testing.T, err error, want []string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted, want it refused")
	}
	if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
		t.Fatalf("refused for another reason than the object: %v", err)
	}
	for _, part := range want {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the refusal lacks %q:\n%v", part, err)
		}
	}
}

// newClient validates fields strictly, as kubectl does by default. A warning of the API server fails
// the test: it would be the first thing that a user sees.
func newClient(t testing.TB) client.Client {
	t.Helper()
	scheme := testkit.Scheme()
	strict := rest.CopyConfig(config)
	strict.WarningHandler = warnings{t}
	k8s, err := client.New(strict, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return client.WithFieldValidation(k8s, metav1.FieldValidationStrict)
}

type warnings struct{ t testing.TB }

func (w warnings) HandleWarningHeader(_ int, _, text string) {
	w.t.Errorf("the API server warns: %s", text)
}

// namespace makes a namespace of the test's own: nothing ever ends in an API server without controllers.
func namespace(t testing.TB) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := newClient(t).Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return ns.Name
}

func object(t testing.TB, namespace, name, spec string) *unstructured.Unstructured {
	t.Helper()
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps.scalableapp.dev/v1alpha1",
		"kind":       "ScalableApp",
		"metadata":   map[string]any{"namespace": namespace, "name": name},
		"spec":       parse(t, spec),
	}}
}

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	u := unstructured.Unstructured{Object: map[string]any{}}
	json, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	if err := u.UnmarshalJSON(fmt.Appendf(nil, `{"apiVersion":"v1","kind":"List","spec":%s}`, json)); err != nil {
		t.Fatal(err)
	}
	spec, _ := u.Object["spec"].(map[string]any)
	return spec
}

func render(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
