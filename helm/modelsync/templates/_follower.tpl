{{/* The follower: `modelsync rollout --follow`, which rolls out each new commit within seconds. */}}

{{- define "modelsync.followerName" -}}
{{ include "modelsync.fullname" . }}-follower
{{- end -}}

{{/* Whether there is one: it looks by itself, so not where commits are looked for only when asked. */}}
{{- define "modelsync.follower" -}}
{{- if and (eq (include "modelsync.mode" .) "rollout") .Values.rollout.follower.enabled (ne .Values.sync.schedule "off") -}}yes{{- end -}}
{{- end -}}

{{/* The path at which the Ingress and the HTTPRoute lead to it; empty: to the pods, which refuse it, or to another release. */}}
{{- define "modelsync.follower.path" -}}
{{- if and (include "modelsync.follower" .) (not .Values.rollout.suspend) (include "modelsync.ownsBase" .) -}}
{{ printf "/%s/sync" .Values.baseUrl | replace "//" "/" }}
{{- end -}}
{{- end -}}
