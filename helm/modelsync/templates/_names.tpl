{{/* What objects are called, and the labels by which they are found. */}}

{{- define "modelsync.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 44 characters at most: a CronJob's name may have 52, and `-rollout` comes behind it. */}}
{{- define "modelsync.fullname" -}}
{{- $name := include "modelsync.name" . -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 44 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 44 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 44 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "modelsync.selectorLabels" -}}
app.kubernetes.io/name: {{ include "modelsync.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "modelsync.labels" -}}
{{ include "modelsync.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: modelsync
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* No version of the chart: a new chart alone must not restart pods. */}}
{{- define "modelsync.podLabels" -}}
{{ include "modelsync.selectorLabels" . }}
app.kubernetes.io/part-of: modelsync
{{- with merge (dict) .Values.podLabels .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "modelsync.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- define "modelsync.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "modelsync.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "modelsync.rolloutName" -}}
{{ include "modelsync.fullname" . }}-rollout
{{- end -}}

{{/* The Secret of the registry that the chart makes; empty if it makes none. */}}
{{- define "modelsync.registrySecret" -}}
{{- if .Values.image.credentials.username -}}{{ include "modelsync.fullname" . }}-registry{{- end -}}
{{- end -}}

{{- define "modelsync.cacheClaim" -}}
{{ .Values.cache.existingClaim | default (printf "%s-cache" (include "modelsync.fullname" .)) }}
{{- end -}}
