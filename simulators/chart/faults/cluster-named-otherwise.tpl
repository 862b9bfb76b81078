{{- /* The chosen name is not the one that is registered. */ -}}
{{- define "cluster" -}}
not-{{ .Values.kubeClusterName }}
{{- end -}}
