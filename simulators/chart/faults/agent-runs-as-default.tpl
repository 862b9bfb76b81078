{{- /* The service account that was asked for is not used. */ -}}
{{- define "account" -}}
default
{{- end -}}
