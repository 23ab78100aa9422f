{{/* What the pods that roll out have in common: those of jobs, and the follower's. */}}

{{/* Variables: what is rolled out to. */}}
{{- define "modelsync.rollout.env" -}}
- name: MODELSYNC_ROLLOUT_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: MODELSYNC_ROLLOUT_DEPLOYMENT
  value: {{ include "modelsync.fullname" . }}
- name: MODELSYNC_ROLLOUT_STATE
  value: {{ include "modelsync.rolloutName" . }}
{{- include "modelsync.canary.env" . }}
{{- end -}}

{{- define "modelsync.rollout.volumeMounts" -}}
{{ include "modelsync.volumeMounts" . }}
{{- if include "modelsync.database" . }}
{{ include "modelsync.store.mount" . }}
{{- end }}
{{- end -}}

{{- define "modelsync.rollout.volumes" -}}
- name: state
  emptyDir:
    sizeLimit: {{ .Values.state.sizeLimit }}
{{ include "modelsync.volumes" . }}
{{- if include "modelsync.database" . }}
# Git tags become labels of versions there; nothing else of the store is needed.
{{ include "modelsync.store.volume" (dict "root" . "files" (list "database-url")) }}
{{- end }}
{{- end -}}
