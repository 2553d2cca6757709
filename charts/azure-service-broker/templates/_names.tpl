{{- define "broker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 43 characters: the longest ending of a name is 20. */}}
{{- define "broker.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 43 | trimSuffix "-" -}}
{{- else if contains (include "broker.name" .) .Release.Name -}}
{{- .Release.Name | trunc 43 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "broker.name" .) | trunc 43 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "broker.runnerName" -}}
{{ include "broker.fullname" . }}-runner
{{- end -}}

{{- define "broker.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "broker.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "broker.sealingKeysSecret" -}}
{{- default (printf "%s-sealing-keys" (include "broker.fullname" .)) .Values.sealingKeys.existingSecret -}}
{{- end -}}

{{- define "broker.platformsSecret" -}}
{{- default (printf "%s-platforms" (include "broker.fullname" .)) .Values.platforms.existingSecret -}}
{{- end -}}

{{- define "broker.tlsSecret" -}}
{{- if .Values.tls.existingSecret -}}
{{- .Values.tls.existingSecret -}}
{{- else if .Values.tls.certManager.enabled -}}
{{ include "broker.fullname" . }}-tls
{{- end -}}
{{- end -}}

{{- define "broker.claim" -}}
{{- default (printf "%s-data" (include "broker.fullname" .)) .Values.database.sqlite.existingClaim -}}
{{- end -}}

{{- define "broker.scheme" -}}
{{ if include "broker.tlsSecret" . }}https{{ else }}http{{ end }}
{{- end -}}

{{- define "broker.url" -}}
{{ include "broker.scheme" . }}://{{ include "broker.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end -}}

{{- define "broker.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "broker.selector" -}}
app.kubernetes.io/name: {{ include "broker.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "broker.labels" -}}
{{ include "broker.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What a job's or a test's pod is called: no Service of the broker may choose it. */}}
{{- define "broker.jobSelector" -}}
app.kubernetes.io/name: {{ include "broker.name" . | trunc 58 | trimSuffix "-" }}-jobs
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
