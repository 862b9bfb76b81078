{{- /* Service account that the agent runs as. */ -}}
{{- define "account" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end -}}
