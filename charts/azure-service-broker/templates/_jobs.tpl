{{/* A job that asks the database: root, name, hook, weight, args. */}}
{{- define "broker.job" -}}
{{- $v := .root.Values -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "broker.fullname" .root }}-{{ .name }}
  labels:
    {{- include "broker.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
  annotations:
    helm.sh/hook: {{ .hook }}
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    helm.sh/hook-output-log-policy: hook-failed
spec:
  backoffLimit: {{ .tries }}
  activeDeadlineSeconds: {{ $v.migration.deadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "broker.jobSelector" .root | nindent 8 }}
        app.kubernetes.io/component: {{ .name }}
        {{- with $v.jobs.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $v.jobs.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      {{- include "broker.podSecurity" .root | nindent 6 }}
      containers:
        - name: {{ .name }}
          {{- include "broker.container" .root | nindent 10 }}
          args: {{ toJson .args }}
          terminationMessagePolicy: FallbackToLogsOnError
          env:
            {{- include "broker.databaseEnv" .root | nindent 12 }}
            {{- with $v.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- with $v.extraEnvFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          resources:
            {{- toYaml $v.resources | nindent 12 }}
          volumeMounts:
            - name: secrets
              mountPath: /etc/broker/secrets
              readOnly: true
            {{- include "broker.databaseMounts" .root | nindent 12 }}
            {{- with $v.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: secrets
          projected:
            defaultMode: 0440
            sources:
              {{- include "broker.databaseSecret" .root | nindent 14 }}
        {{- include "broker.databaseVolumes" .root | nindent 8 }}
        {{- with $v.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}
