{{/* What to be woken by. docs/kubernetes.md says of each what it means and what to do. */}}
{{- define "modelsync.alerts" -}}
{{- $rule := .Values.metrics.prometheusRule -}}
{{- $mode := include "modelsync.mode" . -}}
{{- $ours := printf "namespace=%q,job=%q" .Release.Namespace (include "modelsync.fullname" .) -}}
{{- $cronjob := include "modelsync.rolloutName" . -}}
- alert: ModelsyncDown
  expr: absent(modelsync_release_info{ {{- $ours -}} })
  for: 2m
  labels: {severity: critical}
  annotations:
    summary: No pod serves any model.
- alert: ModelsyncPodDown
  expr: up{ {{- $ours -}} } == 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: {{ `Pod {{ $labels.pod }} does not answer.` | quote }}
- alert: ModelsyncModelBroken
  expr: count by (model, state) (modelsync_model_loaded{ {{- $ours -}} ,state!="ready",state!="switched_off"}) > 0
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: {{ `Model {{ $labels.model }} is {{ $labels.state }} on {{ $value }} pods; GET its page for file, line and reason.` | quote }}
- alert: ModelsyncModelSwitchedOff
  expr: max by (model) (modelsync_model_switched_off{ {{- $ours -}} }) == 1
  labels: {severity: critical}
  annotations:
    summary: {{ `Model {{ $labels.model }} ended its process again and again, and is not called any more.` | quote }}
- alert: ModelsyncOutOfStep
  expr: modelsync_sync_in_step{ {{- $ours -}} } == 0
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: {{ `Pod {{ $labels.pod }} does not serve the commit that is wanted.` | quote }}
- alert: ModelsyncCommitsDiffer
  expr: count(count by (commit) (modelsync_commit_info{ {{- $ours -}} ,which="served"})) > 1
  for: 30m
  labels: {severity: warning}
  annotations:
    summary: {{ `Pods have served {{ $value }} different commits for half an hour.` | quote }}
{{- if eq $mode "pod" }}
- alert: ModelsyncRepositoryNotSeen
  expr: modelsync_sync_last_success_age_seconds{ {{- $ours -}} } > {{ include "modelsync.text" $rule.syncAgeSeconds }}
  labels: {severity: warning}
  annotations:
    summary: {{ `Pod {{ $labels.pod }} has not seen the repository for {{ $value | humanizeDuration }}.` | quote }}
{{- end }}
{{- if ne $mode "standalone" }}
- alert: ModelsyncSyncFailing
  expr: sum by (reason) (increase(modelsync_sync_failures_total{ {{- $ours -}} }[30m])) > 3
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: {{ `Syncs fail: {{ $labels.reason }}.` | quote }}
{{- end }}
- alert: ModelsyncErrors
  expr: >-
    sum by (model) (rate(modelsync_request_failures_total{ {{- $ours -}} }[5m]))
    / sum by (model) (rate(modelsync_requests_total{ {{- $ours -}} }[5m])) > {{ $rule.errorRatio }}
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: {{ `{{ $value | humanizePercentage }} of the requests to model {{ $labels.model }} fail.` | quote }}
- alert: ModelsyncSlow
  expr: >-
    histogram_quantile(0.99, sum by (le, model) (rate(modelsync_request_duration_seconds_bucket{ {{- $ours -}} }[5m])))
    > {{ $rule.slowSeconds }}
  for: 10m
  labels: {severity: warning}
  annotations:
    summary: {{ `1 % of the requests to model {{ $labels.model }} take more than {{ $value | humanizeDuration }}.` | quote }}
{{- if and .Values.canary.enabled .Values.canary.weight }}
- alert: ModelsyncCanaryDown
  expr: absent(modelsync_release_info{namespace={{ .Release.Namespace | quote }},job={{ include "modelsync.canaryName" . | quote }}})
  for: 5m
  labels: {severity: warning}
  annotations:
    summary: No pod of the canary serves, and its share of the requests may fail.
{{- end }}
{{- if include "modelsync.follower" . }}
{{- $follower := printf "namespace=%q,job=%q" .Release.Namespace (include "modelsync.followerName" .) }}
- alert: ModelsyncCommitRejected
  expr: max by (reason) (modelsync_rollout_rejected{ {{- $follower -}} ,reason=~"check|deadline"}) == 1
  labels: {severity: warning}
  annotations:
    summary: {{ `The newest commit is not rolled out ({{ $labels.reason }}); the Deployment's Events say why.` | quote }}
{{- if not .Values.rollout.suspend }}
- alert: ModelsyncFollowerBlind
  expr: >-
    time() - max(modelsync_follower_last_poll_timestamp_seconds{ {{- $follower -}} }) > 1800
    or absent(up{ {{- $follower -}} } == 1)
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: The follower does not read the repository; the CronJob goes on meanwhile.
{{- end }}
{{- end }}
{{- if and (eq $mode "rollout") $rule.rollouts }}
- alert: ModelsyncRolloutFailed
  expr: >-
    (kube_job_status_failed{namespace={{ .Release.Namespace | quote }},job_name=~"{{ $cronjob }}-.+"} > 0)
    and on (namespace, job_name) (time() - kube_job_status_start_time < 3600)
  labels: {severity: warning}
  annotations:
    summary: {{ `Rollout {{ $labels.job_name }} has rejected a commit, taken it back, or could not tell; see its log and the Deployment's Events.` | quote }}
- alert: ModelsyncRolloutsStopped
  expr: >-
    time() - kube_cronjob_status_last_successful_time{namespace={{ .Release.Namespace | quote }},cronjob={{ $cronjob | quote }}} > 14400
  for: 15m
  labels: {severity: warning}
  annotations:
    summary: {{ `No rollout job has gone well for {{ $value | humanizeDuration }}.` | quote }}
{{- end }}
{{- end -}}
