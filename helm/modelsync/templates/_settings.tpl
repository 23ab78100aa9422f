{{/* What follows from the values: how the repository is followed and reached, the settings of the service. */}}

{{/* `rollout`, `pod`, or `standalone` where no repository is given. */}}
{{- define "modelsync.mode" -}}
{{- if .Values.git.path -}}{{ .Values.sync.mode }}{{- else -}}standalone{{- end -}}
{{- end -}}

{{/* `true` where something else than this chart sets the number of pods. */}}
{{- define "modelsync.autoscaled" -}}
{{- if or .Values.autoscaling.enabled .Values.autoscaling.keda.enabled -}}true{{- end -}}
{{- end -}}

{{/* `https`, `http`, `ssh` or `file`; `git@host:path` is ssh. */}}
{{- define "modelsync.git.protocol" -}}
{{- $path := .Values.git.path -}}
{{- if regexMatch "^(https|http|ssh|file)://" $path -}}
{{- regexFind "^[a-z]+" $path -}}
{{- else if $path -}}
ssh
{{- end -}}
{{- end -}}

{{- define "modelsync.git.port" -}}
{{- $standard := dict "https" "443" "http" "80" "ssh" "22" -}}
{{- $given := regexFind "^[a-z]+://[^/]*:[0-9]+" .Values.git.path | regexFind "[0-9]+$" -}}
{{- $given | default (get $standard (include "modelsync.git.protocol" .)) -}}
{{- end -}}

{{/* The port of the Git LFS server, or of the files that a host names which is reached over ssh; empty if git's is enough. */}}
{{- define "modelsync.lfs.port" -}}
{{- $url := .Values.git.lfsUrl -}}
{{- if and .Values.git.path .Values.git.lfs (or $url (eq (include "modelsync.git.protocol" .) "ssh")) -}}
{{- regexFind "^[a-z]+://[^/]*:[0-9]+" $url | regexFind "[0-9]+$" | default (ternary "80" "443" (hasPrefix "http://" $url)) -}}
{{- end -}}
{{- end -}}

{{/* The files of git's credentials as YAML: setting -> file in the mounted folder. */}}
{{- define "modelsync.git.files" -}}
{{- $git := .Values.git -}}
{{- $protocol := include "modelsync.git.protocol" . -}}
{{- if and (has $protocol (list "https" "http")) (or $git.password $git.existingSecret) -}}
MODELSYNC_GIT_PASSWORD_FILE: password
{{- else if eq $protocol "ssh" -}}
MODELSYNC_GIT_SSH_KEY_FILE: ssh-privatekey
MODELSYNC_GIT_KNOWN_HOSTS_FILE: known_hosts
{{- end -}}
{{- end -}}

{{/* The files of the bearer tokens as YAML: setting -> file in the mounted folder. */}}
{{- define "modelsync.auth.files" -}}
{{- $auth := .Values.auth -}}
{{- $keys := dict -}}
{{- if $auth.existingSecret -}}
{{- $keys = $auth.existingSecretKeys -}}
{{- else -}}
{{- range $value, $key := include "modelsync.auth.keys" . | fromYaml -}}
{{- $generated := and (eq $value "adminTokens") $auth.generateAdminToken -}}
{{- if or (get $auth $value) $generated -}}{{- $_ := set $keys $value $key -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $value, $setting := dict "predictTokens" "PREDICT_TOKENS" "trainTokens" "TRAIN_TOKENS" "adminTokens" "ADMIN_TOKENS" "webhookSecret" "WEBHOOK_SECRET" }}
{{- with get $keys $value }}
MODELSYNC_{{ $setting }}_FILE: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Those of the pods that serve: in mode rollout webhooks are the follower's business. */}}
{{- define "modelsync.auth.podFiles" -}}
{{- $files := include "modelsync.auth.files" . | fromYaml -}}
{{- if eq (include "modelsync.mode" .) "rollout" -}}{{- $files = omit $files "MODELSYNC_WEBHOOK_SECRET_FILE" -}}{{- end -}}
{{- if $files -}}{{- toYaml $files -}}{{- end -}}
{{- end -}}

{{/* The volume with some of them. */}}
{{- define "modelsync.auth.volume" -}}
- name: auth
  secret:
    secretName: {{ include "modelsync.auth.secret" .root }}
    defaultMode: 0440
    items:
      {{- range $file := values .files | uniq | sortAlpha }}
      - {key: {{ $file }}, path: {{ $file }}}
      {{- end }}
{{- end -}}

{{/* What they are called in the Secret that the chart makes: value -> key. */}}
{{- define "modelsync.auth.keys" -}}
predictTokens: predict-tokens
trainTokens: train-tokens
adminTokens: admin-tokens
webhookSecret: webhook-secret
{{- end -}}

{{- define "modelsync.auth.secret" -}}
{{ .Values.auth.existingSecret | default (printf "%s-auth" (include "modelsync.fullname" .)) }}
{{- end -}}

{{/* A setting's value as the environment holds it. Helm reads whole numbers as floats: 1000000 must not become 1e+06. */}}
{{- define "modelsync.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (floor .) -}}{{ printf "%.0f" . }}{{- else -}}{{ . }}{{- end -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end -}}

{{/* All settings that may be changed, as YAML: what the ConfigMap holds. */}}
{{- define "modelsync.settings" -}}
{{- $settings := dict "baseUrl" .Values.baseUrl -}}
{{- if .Values.git.path -}}
{{- $_ := set $settings "gitPath" .Values.git.path -}}
{{- $_ := set $settings "usergit" .Values.git.user -}}
{{- $_ := set $settings "MODELSYNC_GIT_REF" .Values.git.ref -}}
{{- $_ := set $settings "MODELSYNC_GIT_SUBDIR" .Values.git.subdir -}}
{{- $_ := set $settings "MODELSYNC_GIT_PROTOCOLS" .Values.git.protocols -}}
{{- $_ := set $settings "MODELSYNC_GIT_LFS" .Values.git.lfs -}}
{{- $_ := set $settings "MODELSYNC_GIT_LFS_SIZE" .Values.git.lfsSize -}}
{{- if .Values.git.lfsUrl -}}{{- $_ := set $settings "MODELSYNC_GIT_LFS_URL" .Values.git.lfsUrl -}}{{- end -}}
{{- $_ := set $settings "MODELSYNC_SYNC_CRON" (ternary .Values.sync.schedule "off" (eq .Values.sync.mode "pod")) -}}
{{- $_ := set $settings "MODELSYNC_SYNC_TIMEOUT" .Values.sync.timeout -}}
{{- $_ := set $settings "MODELSYNC_SYNC_JITTER" .Values.sync.jitter -}}
{{- $_ := set $settings "MODELSYNC_ROLLOUT_TIMEOUT" .Values.rollout.timeout -}}
{{- if .Values.fallbackToImage -}}{{- $_ := set $settings "MODELSYNC_GIT_FALLBACK" true -}}{{- end -}}
{{- if .Values.cache.enabled -}}{{- $_ := set $settings "MODELSYNC_GIT_CACHE" "/var/cache/modelsync" -}}{{- end -}}
{{- range $setting, $file := include "modelsync.git.files" . | fromYaml -}}
{{- $_ := set $settings $setting (printf "/etc/modelsync/git/%s" $file) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $settings "MODELSYNC_GIT_MODELS" (join "," .Values.git.models) -}}
{{- $_ := set $settings "MODELSYNC_ON_BROKEN_MODEL" .Values.sync.onBrokenModel -}}
{{- $_ := set $settings "MODELSYNC_CHECK_TIMEOUT" .Values.sync.checkTimeout -}}
{{- range $setting, $file := include "modelsync.auth.podFiles" . | fromYaml -}}
{{- $_ := set $settings $setting (printf "/etc/modelsync/auth/%s" $file) -}}
{{- end -}}
{{- $_ := set $settings "MODELSYNC_JOBS" (ternary .Values.training.jobs "off" .Values.training.enabled) -}}
{{- if include "modelsync.clusterJobs" . -}}
{{- $_ := set $settings "MODELSYNC_JOB_TEMPLATE" (include "modelsync.jobName" .) -}}
{{- end -}}
{{- $_ := set $settings "MODELSYNC_TRAIN_CRON" (ternary .Values.training.schedule "off" (and .Values.training.enabled (not (include "modelsync.trainCronJob" .)))) -}}
{{- if .Values.training.data.existingClaim -}}{{- $_ := set $settings "MODELSYNC_DATA" "/srv/data" -}}{{- end -}}
{{- $_ := set $settings "MODELSYNC_ARTIFACTS" .Values.artifacts.url -}}
{{- $_ := set $settings "MODELSYNC_S3_ENDPOINT" .Values.artifacts.endpoint -}}
{{- $_ := set $settings "MODELSYNC_S3_REGION" .Values.artifacts.region -}}
{{- range $setting, $file := include "modelsync.store.files" . | fromYaml -}}
{{- $_ := set $settings $setting (printf "/etc/modelsync/store/%s" $file) -}}
{{- end -}}
{{- range $setting, $value := .Values.settings -}}
{{- $_ := set $settings $setting $value -}}
{{- end -}}
{{- range $setting, $value := $settings -}}
{{- $text := include "modelsync.text" $value -}}
{{- if or $text (eq $setting "baseUrl") }}
{{ $setting }}: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Fields of a Service's spec: the families of its addresses. */}}
{{- define "modelsync.families" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* All addresses of a pod; those of IPv6 only where the Service may have one. */}}
{{- define "modelsync.host" -}}
{{- $service := .Values.service -}}
{{- if or (has "IPv6" $service.ipFamilies) (hasSuffix "DualStack" $service.ipFamilyPolicy) -}}::{{- else -}}0.0.0.0{{- end -}}
{{- end -}}

{{/* A time such as 30s, 500ms or 2m in whole seconds, rounded up. */}}
{{- define "modelsync.seconds" -}}
{{- $text := . | toString | replace " " "" -}}
{{- $number := regexFind "^[0-9.]+" $text | float64 -}}
{{- $unit := get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) (regexFind "[a-z]+$" $text | default "s") -}}
{{- mulf $number $unit | ceil | int -}}
{{- end -}}

{{/* The supervisor gives an update 10 s to end and a generation 5 s beyond its drain; 5 s are for itself. */}}
{{- define "modelsync.gracePeriod" -}}
{{- $drain := include "modelsync.seconds" .Values.settings.MODELSYNC_DRAIN_TIMEOUT | int -}}
{{- add .Values.lifecycle.preStopSleepSeconds $drain 20 -}}
{{- end -}}
