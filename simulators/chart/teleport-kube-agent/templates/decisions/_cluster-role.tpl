{{- /* Name of the ClusterRole, which the namespace is no part of. */ -}}
{{- define "cluster-role" -}}
{{ .Values.clusterRoleName | default .Release.Name }}
{{- end -}}
