{{- /* An account is made although the values say not to. */ -}}
{{- define "account-made" -}}
{{ .Release.Name }}
{{- end -}}
