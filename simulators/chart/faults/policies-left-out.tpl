{{- define "policy" -}}
{{- end -}}
