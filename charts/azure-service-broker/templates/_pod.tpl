{{- define "broker.podSecurity" -}}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "broker.container" -}}
image: {{ include "broker.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.containerSecurityContext | nindent 2 }}
{{- end -}}

{{/* Where the database is, for jobs and for the broker. */}}
{{- define "broker.databaseEnv" }}
{{- if eq .Values.database.kind "sqlite" }}
- name: BROKER_DATABASE_URL
  value: sqlite:////data/broker.sqlite3
{{- else }}
- name: BROKER_DATABASE_URL_FILE
  value: /etc/broker/secrets/database-url
{{- end }}
{{- end -}}

{{- define "broker.databaseMounts" -}}
{{- if eq .Values.database.kind "sqlite" }}
- name: data
  mountPath: /data
{{- end }}
{{- with .Values.database.caConfigMap }}
- name: database-ca
  mountPath: /etc/broker/database-ca
  readOnly: true
{{- end }}
{{- end -}}

{{- define "broker.databaseVolumes" -}}
{{- if eq .Values.database.kind "sqlite" }}
- name: data
  persistentVolumeClaim:
    claimName: {{ include "broker.claim" . }}
{{- end }}
{{- with .Values.database.caConfigMap }}
- name: database-ca
  configMap:
    name: {{ . }}
{{- end }}
{{- end -}}

{{- define "broker.databaseSecret" -}}
{{- if ne .Values.database.kind "sqlite" }}
- secret:
    name: {{ .Values.database.existingSecret }}
    items:
      - key: {{ .Values.database.urlKey }}
        path: database-url
{{- end }}
{{- end -}}

{{- define "broker.secretFile" -}}
- secret:
    name: {{ .secret }}
    items:
      - key: {{ .key }}
        path: {{ .path }}
{{- end -}}

{{/*
A pod that serves or carries operations out: root (the chart's context), component, args, api (whether it serves
platforms), resources.
*/}}
{{- define "broker.pod" -}}
{{- $root := .root -}}
{{- $v := .root.Values -}}
{{- $full := include "broker.fullname" .root -}}
{{- $sqlite := eq $v.database.kind "sqlite" -}}
{{- $tls := and .api (include "broker.tlsSecret" .root) -}}
{{- $operators := and .api $v.operators.existingSecret -}}
{{- $identity := eq $v.settings.azure_authentication "workload-identity" -}}
{{- $overlays := list -}}
{{- if $v.catalog.files }}{{ $overlays = append $overlays "values" }}{{ end -}}
{{- range $v.catalog.configMaps }}{{ $overlays = append $overlays .name }}{{ end -}}
{{- $rules := or $v.tenants.rules $v.tenants.existingConfigMap -}}
metadata:
  labels:
    {{- include "broker.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with $v.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- if and $identity $v.azure.workloadIdentity.webhook }}
    azure.workload.identity/use: "true"
    {{- end }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: broker
    # The broker reads them at its start; catalogs and tenant rules it follows.
    checksum/settings: {{ toJson $v.settings | sha256sum }}
    {{- with $v.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "broker.serviceAccountName" $root }}
  {{- include "broker.podSecurity" $root | nindent 2 }}
  {{- with $v.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and $v.topologySpread.enabled (not $sqlite) }}
  topologySpreadConstraints:
    {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: {{ $v.topologySpread.whenUnsatisfiable }}
      labelSelector:
        matchLabels:
          {{- include "broker.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $.component }}
    {{- end }}
  {{- end }}
  terminationGracePeriodSeconds: {{ add $v.drainSeconds (include "broker.stopWithin" $root | int) 10 }}
  {{- if $sqlite }}
  initContainers:
    - name: migrate
      {{- include "broker.container" $root | nindent 6 }}
      args: [migrate]
      env:
        {{- include "broker.databaseEnv" $root | nindent 8 }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        {{- include "broker.databaseMounts" $root | nindent 8 }}
  {{- end }}
  containers:
    - name: broker
      {{- include "broker.container" $root | nindent 6 }}
      args: {{ toJson .args }}
      ports:
        {{- if .api }}
        - name: {{ include "broker.scheme" $root }}
          containerPort: 8080
        {{- if and $operators $v.operators.ownPort }}
        - name: admin
          containerPort: 8082
        {{- end }}
        {{- end }}
        - name: health
          containerPort: 8081
      envFrom:
        - configMapRef:
            name: {{ $full }}-settings
        {{- with $v.extraEnvFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        - name: BROKER_HOST
          value: {{ $v.listenAddress | quote }}
        - name: BROKER_PORT
          value: "8080"
        - name: BROKER_HEALTH_HOST
          value: {{ $v.listenAddress | quote }}
        - name: BROKER_HEALTH_PORT
          value: "8081"
        {{- if .api }}
        - name: BROKER_STOP_AFTER
          value: {{ $v.drainSeconds }}s
        {{- end }}
        {{- include "broker.databaseEnv" $root | nindent 8 }}
        {{- if and (not $sqlite) $v.database.listenUrlKey }}
        - name: BROKER_LISTEN_DATABASE_URL_FILE
          value: /etc/broker/secrets/listen-database-url
        {{- end }}
        - name: BROKER_SEALING_KEYS_FILE
          value: /etc/broker/secrets/sealing-keys
        {{- if .api }}
        - name: BROKER_PLATFORMS_FILE
          value: /etc/broker/secrets/platforms
        {{- end }}
        {{- if $operators }}
        - name: BROKER_OPERATORS_FILE
          value: /etc/broker/secrets/operators
        {{- if $v.operators.ownPort }}
        - name: BROKER_ADMIN_HOST
          value: {{ $v.listenAddress | quote }}
        - name: BROKER_ADMIN_PORT
          value: "8082"
        {{- end }}
        {{- end }}
        {{- if $tls }}
        - name: BROKER_TLS_CERTIFICATE_FILE
          value: /etc/broker/tls/tls.crt
        - name: BROKER_TLS_KEY_FILE
          value: /etc/broker/tls/tls.key
        {{- end }}
        {{- if $v.azure.clientSecret.existingSecret }}
        - name: BROKER_AZURE_CLIENT_SECRET_FILE
          value: /etc/broker/secrets/azure-client-secret
        {{- end }}
        {{- if $v.azure.proxy.existingSecret }}
        - name: BROKER_AZURE_PROXY_FILE
          value: /etc/broker/secrets/azure-proxy
        {{- end }}
        {{- if $v.azure.caConfigMap }}
        - name: BROKER_AZURE_CA_FILE
          value: /etc/broker/azure-ca/ca.crt
        {{- end }}
        {{- if $v.dataPlaneCaConfigMap }}
        - name: BROKER_DATA_PLANE_CA_FILE
          value: /etc/broker/data-plane-ca/ca.crt
        {{- end }}
        {{- if and $identity (not $v.azure.workloadIdentity.webhook) }}
        - name: BROKER_AZURE_FEDERATED_TOKEN_FILE
          value: /var/run/secrets/azure/tokens/azure-identity-token
        {{- end }}
        {{- with $overlays }}
        - name: BROKER_CATALOG_OVERLAYS
          value: /etc/broker/overlays/{{ join ",/etc/broker/overlays/" . }}
        {{- end }}
        {{- if $rules }}
        - name: BROKER_TENANT_RULES
          value: /etc/broker/tenants/{{ ternary $v.tenants.key "tenants.yaml" (ne $v.tenants.existingConfigMap "") }}
        {{- end }}
        {{- with $v.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      startupProbe:
        httpGet: {path: /healthz, port: health}
        periodSeconds: 2
        failureThreshold: {{ div (add $v.probes.startupSeconds 1) 2 }}
        timeoutSeconds: {{ $v.probes.timeoutSeconds }}
      livenessProbe:
        httpGet: {path: /healthz, port: health}
        periodSeconds: {{ $v.probes.periodSeconds }}
        failureThreshold: {{ $v.probes.failureThreshold }}
        timeoutSeconds: {{ $v.probes.timeoutSeconds }}
      readinessProbe:
        httpGet: {path: /readyz, port: health}
        periodSeconds: {{ $v.probes.periodSeconds }}
        failureThreshold: {{ $v.probes.failureThreshold }}
        timeoutSeconds: {{ $v.probes.timeoutSeconds }}
      resources:
        {{- toYaml .resources | nindent 8 }}
      volumeMounts:
        - name: secrets
          mountPath: /etc/broker/secrets
          readOnly: true
        {{- include "broker.databaseMounts" $root | nindent 8 }}
        {{- if $tls }}
        - name: tls
          mountPath: /etc/broker/tls
          readOnly: true
        {{- end }}
        {{- if $v.azure.caConfigMap }}
        - name: azure-ca
          mountPath: /etc/broker/azure-ca
          readOnly: true
        {{- end }}
        {{- if $v.dataPlaneCaConfigMap }}
        - name: data-plane-ca
          mountPath: /etc/broker/data-plane-ca
          readOnly: true
        {{- end }}
        {{- range $overlays }}
        - name: overlay-{{ trunc 50 . | trimSuffix "-" }}
          mountPath: /etc/broker/overlays/{{ . }}
          readOnly: true
        {{- end }}
        {{- if $rules }}
        - name: tenants
          mountPath: /etc/broker/tenants
          readOnly: true
        {{- end }}
        {{- if and $identity (not $v.azure.workloadIdentity.webhook) }}
        - name: azure-identity-token
          mountPath: /var/run/secrets/azure/tokens
          readOnly: true
        {{- end }}
        {{- with $v.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- include "broker.databaseSecret" $root | nindent 10 }}
          {{- if and (not $sqlite) $v.database.listenUrlKey }}
          {{- include "broker.secretFile" (dict "secret" $v.database.existingSecret "key" $v.database.listenUrlKey "path" "listen-database-url") | nindent 10 }}
          {{- end }}
          {{- include "broker.secretFile" (dict "secret" (include "broker.sealingKeysSecret" $root) "key" (ternary $v.sealingKeys.key "sealing-keys" (ne $v.sealingKeys.existingSecret "")) "path" "sealing-keys") | nindent 10 }}
          {{- if .api }}
          {{- include "broker.secretFile" (dict "secret" (include "broker.platformsSecret" $root) "key" (ternary $v.platforms.key "platforms.json" (ne $v.platforms.existingSecret "")) "path" "platforms") | nindent 10 }}
          {{- end }}
          {{- if $operators }}
          {{- include "broker.secretFile" (dict "secret" $v.operators.existingSecret "key" $v.operators.key "path" "operators") | nindent 10 }}
          {{- end }}
          {{- with $v.azure.clientSecret }}
          {{- if .existingSecret }}
          {{- include "broker.secretFile" (dict "secret" .existingSecret "key" .key "path" "azure-client-secret") | nindent 10 }}
          {{- end }}
          {{- end }}
          {{- with $v.azure.proxy }}
          {{- if .existingSecret }}
          {{- include "broker.secretFile" (dict "secret" .existingSecret "key" .key "path" "azure-proxy") | nindent 10 }}
          {{- end }}
          {{- end }}
    {{- include "broker.databaseVolumes" $root | nindent 4 }}
    {{- if $tls }}
    - name: tls
      secret:
        secretName: {{ include "broker.tlsSecret" $root }}
        defaultMode: 0440
    {{- end }}
    {{- with $v.azure.caConfigMap }}
    - name: azure-ca
      configMap:
        name: {{ . }}
    {{- end }}
    {{- with $v.dataPlaneCaConfigMap }}
    - name: data-plane-ca
      configMap:
        name: {{ . }}
    {{- end }}
    {{- if $v.catalog.files }}
    - name: overlay-values
      configMap:
        name: {{ $full }}-catalog
        items:
          {{- range $path, $content := $v.catalog.files }}
          - key: {{ $path | replace "/" "__" }}
            path: {{ $path }}
          {{- end }}
    {{- end }}
    {{- range $v.catalog.configMaps }}
    - name: overlay-{{ trunc 50 .name | trimSuffix "-" }}
      configMap:
        {{- toYaml . | nindent 8 }}
    {{- end }}
    {{- if $rules }}
    - name: tenants
      configMap:
        name: {{ default (printf "%s-tenants" $full) $v.tenants.existingConfigMap }}
    {{- end }}
    {{- if and $identity (not $v.azure.workloadIdentity.webhook) }}
    - name: azure-identity-token
      projected:
        defaultMode: 0440
        sources:
          - serviceAccountToken:
              audience: api://AzureADTokenExchange
              expirationSeconds: 3600
              path: azure-identity-token
    {{- end }}
    {{- with $v.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
