{{- /* Init containers mount the volume that the pod has. */ -}}
{{- define "init-volume" -}}
data
{{- end -}}
