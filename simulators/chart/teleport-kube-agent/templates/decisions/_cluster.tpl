{{- /* Name under which the cluster is registered. */ -}}
{{- define "cluster" -}}
{{ include "needed" (list "kubeClusterName is required in chart values when kube role is enabled, see README" .Values.kubeClusterName) }}
{{- end -}}
