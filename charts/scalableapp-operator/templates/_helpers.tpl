{{/* The names follow the release, so that two releases can live in one cluster, each with namespaces of its own. */}}
{{- define "operator.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "operator.labels" -}}
{{ include "operator.selector" . }}
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* The rules of files/role.yaml, which `make manifests` copies from config/rbac, as {"cluster": […], "namespace": […]}. */}}
{{- define "operator.rules" -}}
{{- $clusterScoped := list "storageclasses" "nodes" "namespaces" "persistentvolumes" }}
{{- $cluster := list }}{{ $namespace := list }}
{{- range (.Files.Get "files/role.yaml" | fromYaml).rules }}
{{- if has (first .resources) $clusterScoped }}{{ $cluster = append $cluster . }}{{ else }}{{ $namespace = append $namespace . }}{{ end }}
{{- end }}
{{- dict "cluster" $cluster "namespace" $namespace | toJson }}
{{- end }}

{{- define "operator.subjects" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "operator.name" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}
