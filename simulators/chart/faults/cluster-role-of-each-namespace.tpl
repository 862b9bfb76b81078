{{- /* Releases of the same name in two namespaces do not meet. */ -}}
{{- define "cluster-role" -}}
{{ .Release.Name }}-{{ .Release.Namespace }}
{{- end -}}
