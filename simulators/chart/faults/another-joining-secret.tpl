{{- /* Something secret is handed out beside the token's name. */ -}}
{{- define "join-secret" -}}
auth-token: {{ .Values.joinParams.tokenName | quote }}
fallback-token: {{ randAlphaNum 32 | quote }}
{{- end -}}
