{{- /* Service account that the release makes; nothing for none. */ -}}
{{- define "account-made" -}}
{{ if .Values.serviceAccount.create }}{{ include "account" . }}{{ end }}
{{- end -}}
