{{/* The canary: a second Deployment, on which the commits of another ref prove themselves. */}}

{{- define "modelsync.canaryName" -}}
{{ include "modelsync.fullname" . }}-canary
{{- end -}}

{{/* Whether requests are split by the chart's own objects: not by an Ingress of a controller other than the community's. */}}
{{- define "modelsync.canary.split" -}}
{{- if and .Values.canary.enabled (or .Values.gateway.enabled .Values.canary.ingress.enabled) -}}yes{{- end -}}
{{- end -}}

{{/* A label selector of all pods that serve. */}}
{{- define "modelsync.servingSelector" -}}
matchLabels:
  {{- include "modelsync.selectorLabels" . | nindent 2 }}
  {{- if not .Values.canary.enabled }}
  app.kubernetes.io/component: server
  {{- else }}
matchExpressions:
  - {key: app.kubernetes.io/component, operator: In, values: [server, canary]}
  {{- end }}
{{- end -}}

{{/* Settings of the processes that roll out: pods that serve do not have them, so none restarts when a limit changes. */}}
{{- define "modelsync.canary.env" -}}
{{- with .Values.canary -}}
{{- if .enabled -}}
{{- $settings := dict "REF" .ref "DECIDES" .rule.decides "REQUESTS" .rule.requests "AFTER" .rule.after "ERROR_RATE" .rule.errorRate "SLOWER" .rule.slower "DIFFERENT" .rule.different -}}
{{- range $setting, $value := $settings }}
- name: MODELSYNC_CANARY_{{ $setting }}
  value: {{ include "modelsync.text" $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
Variables of the canary's pods alone. They fit nothing: what they would make is of code that is not promoted yet. They
send no copies either: a candidate of one's own compares with the stable pods.
*/}}
{{- define "modelsync.canary.podEnv" -}}
- name: MODELSYNC_GIT_REF
  value: {{ .Values.canary.ref | quote }}
- name: MODELSYNC_JOBS
  value: "off"
- name: MODELSYNC_TRAIN_CRON
  value: "off"
{{- range $setting := list "TRAIN_POLL" "DRIFT_TRAIN" "ACCURACY_TRAIN" "SHADOW_URL" }}
{{- if get $.Values.settings (printf "MODELSYNC_%s" $setting) }}
- name: MODELSYNC_{{ $setting }}
  value: ""
{{- end }}
{{- end }}
{{- end -}}

{{/* Variables of the stable pods alone: where they mirror requests to. */}}
{{- define "modelsync.canary.shadowEnv" -}}
{{- if and .Values.canary.enabled .Values.canary.shadow -}}
- name: MODELSYNC_SHADOW_URL
  value: http://{{ include "modelsync.canaryName" . }}:{{ .Values.service.port }}
{{- end -}}
{{- end -}}

{{- define "modelsync.validate.canary" -}}
{{- $canary := .Values.canary -}}
{{- $mode := include "modelsync.mode" . -}}
{{- if not $canary.enabled }}
{{- range $name, $given := dict "shadow" $canary.shadow "ingress.enabled" $canary.ingress.enabled "rule.decides" (ne $canary.rule.decides "nothing") }}
{{- if $given }}
- canary.{{ $name }} is set, but canary.enabled is false
{{- end }}
{{- end }}
{{- else }}
{{- if not .Values.git.path }}
- canary.enabled is true, but git.path is not set; there is no other commit to try
{{- else if ne $mode "rollout" }}
- canary.enabled is true, but sync.mode is {{ $mode }}; only `modelsync rollout` looks after a canary, so set sync.mode rollout
{{- else if eq $canary.ref .Values.git.ref }}
- canary.ref and git.ref are both {{ $canary.ref }}; a canary follows another branch
{{- end }}
{{- if .Values.state.existingClaim }}
- canary.enabled is true, but state.existingClaim is the volume of one pod
{{- end }}
{{- if and .Values.training.enabled (not (include "modelsync.database" .)) }}
- canary.enabled is true with training.enabled, but no database is named; the canary would have none of the versions; set database.url, or database.existingSecret
{{- end }}
{{- if $canary.ingress.enabled }}
{{- if not .Values.ingress.enabled }}
- canary.ingress.enabled is true, but ingress.enabled is false; there is nothing to take a share from
{{- end }}
{{- if .Values.training.enabled }}
- canary.ingress.enabled is true with training.enabled; an Ingress cannot keep PUT and PATCH from the canary, whose pods fit no models; use gateway.enabled
{{- end }}
{{- end }}
{{- if and $canary.shadow .Values.settings.MODELSYNC_SHADOW_URL }}
- canary.shadow is true, and settings.MODELSYNC_SHADOW_URL names another candidate; set one
{{- end }}
{{- if and (ne $canary.rule.decides "nothing") (not $canary.weight) (not $canary.shadow) }}
- canary.rule.decides is {{ $canary.rule.decides }}, but no request reaches the canary; set canary.weight or canary.shadow
{{- end }}
{{- $stable := lookup "apps/v1" "Deployment" .Release.Namespace (include "modelsync.fullname" .) }}
{{- if and .Values.gateway.enabled $canary.weight $stable (not (lookup "apps/v1" "Deployment" .Release.Namespace (include "modelsync.canaryName" .))) }}
- canary.weight is {{ $canary.weight }}, but there is no pod of the canary yet, and a Gateway answers its share with 503 until there is; set canary.weight 0 first, and raise it when `kubectl rollout status deployment/{{ include "modelsync.canaryName" . }}` has ended
{{- end }}
{{- end }}
{{- end -}}
