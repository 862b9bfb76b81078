{{- /* Source of the volume with the proxy's authority. */ -}}
{{- define "authority" -}}
{secretName: {{ .Values.tls.existingCASecretName }}}
{{- end -}}
