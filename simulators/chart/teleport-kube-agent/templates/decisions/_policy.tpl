{{- /* Whether a PodSecurityPolicy is made, of an API that ended with Kubernetes 1.25; empty where not. */ -}}
{{- define "policy" -}}
{{- if and .Values.podSecurityPolicy.enabled (.Capabilities.APIVersions.Has "policy/v1beta1") }}yes{{ end -}}
{{- end -}}
