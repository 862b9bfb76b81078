{{- /* Volume that init containers mount for data: as in the real chart, one that the pod does not have. */ -}}
{{- define "init-volume" -}}
{{ .Release.Name }}-teleport-data
{{- end -}}
