{{- /* Whether a value may be missing: what is told where it is not there, and the value. */ -}}
{{- define "needed" -}}
{{ if not (index . 1) }}{{ fail (index . 0) }}{{ end }}{{ index . 1 }}
{{- end -}}
