{{- define "account" -}}
{{ .Values.serviceAccount.name | default .Release.Name }}
{{- end -}}
