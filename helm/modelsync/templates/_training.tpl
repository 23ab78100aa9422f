{{/* Trained models: their store, the data that they are fitted with, the Jobs that fit them. */}}

{{- define "modelsync.jobName" -}}
{{ include "modelsync.fullname" . }}-job
{{- end -}}

{{- define "modelsync.dispatcherName" -}}
{{ include "modelsync.fullname" . }}-dispatcher
{{- end -}}

{{- define "modelsync.trainName" -}}
{{ include "modelsync.fullname" . }}-train
{{- end -}}

{{/* Whether a CronJob trains models by themselves: without a database the one pod does so, at the same times. */}}
{{- define "modelsync.trainCronJob" -}}
{{- if and .Values.training.enabled (ne .Values.training.schedule "off") (include "modelsync.database" .) -}}yes{{- end -}}
{{- end -}}

{{/* Whether a database is named; otherwise each pod has a SQLite file. */}}
{{- define "modelsync.database" -}}
{{- if or .Values.database.url .Values.database.existingSecret -}}yes{{- end -}}
{{- end -}}

{{/* Whether models are fitted in Jobs. */}}
{{- define "modelsync.clusterJobs" -}}
{{- if and .Values.training.enabled (eq .Values.training.jobs "kubernetes") -}}yes{{- end -}}
{{- end -}}

{{/* The secrets of the store as YAML: file in the mounted folder -> its value, setting, and where one's own Secret has it. */}}
{{- define "modelsync.store.secrets" -}}
{{- $artifacts := .Values.artifacts -}}
{{- $data := .Values.training.data -}}
database-url: {{ dict "setting" "MODELSYNC_DATABASE_URL_FILE" "value" .Values.database.url "secret" .Values.database.existingSecret "key" .Values.database.existingSecretKey | toJson }}
s3-access-key: {{ dict "setting" "MODELSYNC_S3_ACCESS_KEY_FILE" "value" $artifacts.accessKey "secret" $artifacts.existingSecret "key" $artifacts.existingSecretKeys.accessKey | toJson }}
s3-secret-key: {{ dict "setting" "MODELSYNC_S3_SECRET_KEY_FILE" "value" $artifacts.secretKey "secret" $artifacts.existingSecret "key" $artifacts.existingSecretKeys.secretKey | toJson }}
data-url: {{ dict "setting" "MODELSYNC_DATA_URL_FILE" "value" $data.url "secret" $data.existingSecret "key" $data.existingSecretKey | toJson }}
{{- end -}}

{{/* The files of those that are given, as YAML: setting -> file in the mounted folder. */}}
{{- define "modelsync.store.files" -}}
{{- range $file, $one := include "modelsync.store.secrets" . | fromYaml }}
{{- if or $one.value $one.secret }}
{{ $one.setting }}: {{ $file }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "modelsync.store.mount" -}}
- name: store
  mountPath: /etc/modelsync/store
  readOnly: true
{{- end -}}

{{/* Some of these files, from the Secrets of the user and from the chart's. */}}
{{- define "modelsync.store.volume" -}}
{{- $root := .root -}}
- name: store
  projected:
    defaultMode: 0440
    sources:
      {{- $secrets := include "modelsync.store.secrets" $root | fromYaml }}
      {{- range $file := sortAlpha .files }}
      {{- $one := get $secrets $file }}
      - secret:
          name: {{ $one.secret | default (printf "%s-store" (include "modelsync.fullname" $root)) }}
          items:
            - {key: {{ ternary $one.key $file (ne $one.secret "") }}, path: {{ $file }}}
      {{- end }}
{{- end -}}

{{- define "modelsync.data.mount" -}}
- name: training-data
  mountPath: /srv/data
  readOnly: true
{{- end -}}

{{- define "modelsync.data.volume" -}}
- name: training-data
  persistentVolumeClaim:
    claimName: {{ .Values.training.data.existingClaim }}
    readOnly: true
{{- end -}}

{{/* Ports of the database and of S3, one a line. */}}
{{- define "modelsync.store.ports" -}}
{{- if include "modelsync.database" . }}
{{ regexFind "@[^/]*:[0-9]+" .Values.database.url | regexFind "[0-9]+$" | default "5432" }}
{{- end }}
{{- if or .Values.artifacts.url .Values.artifacts.endpoint }}
{{- $standard := ternary "80" "443" (hasPrefix "http://" .Values.artifacts.endpoint) }}
{{ regexFind ":[0-9]+" .Values.artifacts.endpoint | trimPrefix ":" | default $standard }}
{{- end }}
{{- end -}}
