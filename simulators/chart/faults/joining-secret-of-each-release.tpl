{{- /* Two releases in a namespace do not meet. */ -}}
{{- define "join-secret-name" -}}
{{ .Release.Name }}-join-token
{{- end -}}
