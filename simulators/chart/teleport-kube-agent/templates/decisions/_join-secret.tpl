{{- /* What the Secret for joining holds: YAML of its stringData. */ -}}
{{- define "join-secret" -}}
auth-token: {{ .Values.joinParams.tokenName | default .Values.authToken | quote }}
{{- end -}}
