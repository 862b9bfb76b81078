{{- /* An agent starts without the authority that it was to have. */ -}}
{{- define "authority" -}}
{secretName: {{ .Values.tls.existingCASecretName }}, optional: true}
{{- end -}}
