{{- /* Name of the Secret for joining: the same for every release. */ -}}
{{- define "join-secret-name" -}}
{{ .Values.secretName }}
{{- end -}}
