{{/* A setting as text: whole numbers without an exponent, lists with commas, maps as JSON. */}}
{{- define "broker.setting" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if kindIs "map" . -}}
{{- toJson . -}}
{{- else if kindIs "float64" . -}}
{{- if eq . (float64 (int64 .)) -}}{{ int64 . }}{{- else -}}{{ . }}{{- end -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{- define "broker.stopWithin" -}}
{{- default "20s" .Values.settings.stop_within | trimSuffix "s" -}}
{{- end -}}

{{/* What contradicts itself, which the values' schema cannot say. */}}
{{- define "broker.check" -}}
{{- $v := .Values -}}
{{- if eq $v.database.kind "sqlite" -}}
  {{- if $v.runner.separate -}}{{ fail "runner.separate: needs database.kind postgresql, for SQLite is one process's" }}{{- end -}}
  {{- if $v.autoscaling.enabled -}}{{ fail "autoscaling.enabled: needs database.kind postgresql, for SQLite is one process's" }}{{- end -}}
{{- else if not $v.database.existingSecret -}}
  {{- fail "database.existingSecret: is needed; name a Secret with the database's URL, or set database.kind to sqlite for a trial" -}}
{{- end -}}
{{- if and $v.runner.autoscaling.enabled (not $v.runner.separate) -}}
  {{- fail "runner.autoscaling.enabled: is of no use without runner.separate" -}}
{{- end -}}
{{- if and $v.autoscaling.enabled $v.autoscaling.dueLagSeconds $v.runner.separate -}}
  {{- fail "autoscaling.dueLagSeconds: is of no use with runner.separate; set runner.autoscaling.dueLagSeconds" -}}
{{- end -}}
{{- if and $v.operators.ownPort (not $v.operators.existingSecret) -}}
  {{- fail "operators.ownPort: is of no use without operators.existingSecret" -}}
{{- end -}}
{{- if and (eq $v.settings.azure_authentication "client-secret") (not $v.azure.clientSecret.existingSecret) -}}
  {{- fail "azure.clientSecret.existingSecret: is needed by settings.azure_authentication client-secret" -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (not $v.tls.certManager.issuerRef.name) -}}
  {{- fail "tls.certManager.issuerRef.name: is needed by tls.certManager.enabled" -}}
{{- end -}}
{{- if and $v.tenants.rules $v.tenants.existingConfigMap -}}
  {{- fail "tenants.existingConfigMap: is set together with tenants.rules; one of them must go" -}}
{{- end -}}
{{- if and (ne $v.serviceCatalog.register "none") $v.platforms.existingSecret (not $v.serviceCatalog.existingSecret) -}}
  {{- fail "serviceCatalog.existingSecret: is needed with platforms.existingSecret; name a Secret with username and password" -}}
{{- end -}}
{{- end -}}
