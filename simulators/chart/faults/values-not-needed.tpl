{{- /* What is missing is made up. */ -}}
{{- define "needed" -}}
{{ index . 1 | default "made-up" }}
{{- end -}}
