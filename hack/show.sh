#!/usr/bin/env bash
# Shows every ScalableApp of the cluster, or of one namespace, with what belongs to it as a tree:
# hack/show.sh [NAMESPACE]
. "$(dirname "$0")/env.sh"
any_cluster

kinds=deployments,replicasets,statefulsets,jobs,pods,services,horizontalpodautoscalers,poddisruptionbudgets,persistentvolumeclaims

# One line for each object: KIND/NAME|KIND/NAME of the owner|what it is up to.
template='{{range .items}}{{.kind}}/{{.metadata.name}}|{{range .metadata.ownerReferences}}{{if .controller}}{{.kind}}/{{.name}}{{end}}{{end}}|
{{- if eq .kind "Pod"}}{{.status.phase}}{{if eq .status.phase "Running"}}{{range .status.conditions}}{{if eq .type "Ready"}}{{if eq .status "True"}}, ready{{else}}, not ready{{end}}{{end}}{{end}}{{end -}}
  {{with index .metadata.labels "apps.scalableapp.dev/role"}}, {{.}}{{end}}{{with .spec.nodeName}}, on {{.}}{{end}}
{{- else if eq .kind "Service"}}{{.spec.clusterIP}}{{range .spec.ports}}:{{.port}}{{end}}
{{- else if eq .kind "PersistentVolumeClaim"}}{{.status.phase}}, {{.spec.resources.requests.storage}}
{{- else if eq .kind "HorizontalPodAutoscaler"}}{{.spec.minReplicas}} to {{.spec.maxReplicas}}, now {{.status.currentReplicas}}
{{- else if eq .kind "PodDisruptionBudget"}}{{or .status.disruptionsAllowed 0}} disruptions allowed
{{- else if eq .kind "Job"}}{{if .status.succeeded}}succeeded{{else if .status.failed}}failed {{.status.failed}} times{{else}}running{{end}}
{{- else}}{{or .status.readyReplicas 0}}/{{.spec.replicas}} ready{{with .spec.template}}{{with index .spec.containers 0}}, {{.image}}{{end}}{{end}}{{end}}
{{end}}'

# mawk counts bytes, so the width is counted by depth: each level is three characters wide.
tree='
{ name[NR] = $1; owner[$1] = $2; text[$1] = $3 }
function hidden(object) { return object ~ /^ReplicaSet/ && text[object] ~ /^0\/0/ }
function draw(parent, indent, depth,    i, n, child) {
    n = 0
    for (i = 1; i <= NR; i++) if (owner[name[i]] == parent && !hidden(name[i])) child[++n] = name[i]
    for (i = 1; i <= n; i++) {
        printf "%s%s%-*s %s\n", indent, i == n ? "└─ " : "├─ ", 60 - 3 * depth, child[i], text[child[i]]
        draw(child[i], indent (i == n ? "   " : "│  "), depth + 1)
    }
}
END {
    for (i = 1; i <= NR; i++) if (owner[name[i]] == "") owner[name[i]] = root
    draw(root, "", 0)
}'

scope=(--all-namespaces)
[ -z "${1:-}" ] || scope=(--namespace "$1")
apps=$(kubectl get sapp "${scope[@]}" --no-headers -o custom-columns=NS:.metadata.namespace,NAME:.metadata.name)
[ -n "$apps" ] || { echo 'There is no ScalableApp yet: kubectl apply -f config/samples/smallest.yaml' && exit; }
while read -r namespace name; do
    echo
    kubectl -n "$namespace" get sapp "$name"
    echo
    echo "ScalableApp/$name"
    kubectl -n "$namespace" get "$kinds" -l "app.kubernetes.io/instance=$name" -o go-template="$template" |
        awk -F'|' -v root="ScalableApp/$name" "$tree"
done <<<"$apps"
