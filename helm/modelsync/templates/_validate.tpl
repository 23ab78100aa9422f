{{/* Values that contradict each other: said here, in one message, rather than by a pod that does not start. */}}
{{- define "modelsync.validate" -}}
{{- $problems := concat
      (include "modelsync.validate.git" . | fromYamlArray)
      (include "modelsync.validate.auth" . | fromYamlArray)
      (include "modelsync.validate.training" . | fromYamlArray)
      (include "modelsync.validate.traffic" . | fromYamlArray)
      (include "modelsync.validate.pods" . | fromYamlArray) -}}
{{- if $problems -}}
{{- fail (printf "\n\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "modelsync.validate.git" -}}
{{- $git := .Values.git -}}
{{- $protocol := include "modelsync.git.protocol" . -}}
{{- if not $git.path }}
{{- range $name := list "subdir" "existingSecret" "user" "password" "sshKey" "knownHosts" }}
{{- if get $git $name }}
- git.{{ $name }} is set, but git.path is not
{{- end }}
{{- end }}
{{- if ne $git.ref "HEAD" }}
- git.ref is set, but git.path is not
{{- end }}
{{- if ne .Values.sync.mode "rollout" }}
- sync.mode is {{ .Values.sync.mode }}, but git.path is not set; there is nothing to follow
{{- end }}
{{- if .Values.cache.enabled }}
- cache.enabled is true, but git.path is not set; there is nothing to keep a copy of
{{- end }}
{{- if .Values.fallbackToImage }}
- fallbackToImage is true, but git.path is not set; the models in the image are served anyway
{{- end }}
{{- else }}
{{- if not (has $protocol (splitList "," ($git.protocols | replace " " ""))) }}
- git.path uses {{ $protocol }}, which git.protocols ({{ $git.protocols }}) does not allow
{{- end }}
{{- if regexMatch "^https?://[^/]*@" $git.path }}
- git.path holds credentials; put them into git.user and git.password, or into a Secret that git.existingSecret names
{{- end }}
{{- if eq $protocol "ssh" }}
{{- if not (or $git.sshKey $git.existingSecret) }}
- git.path uses ssh; set git.sshKey, or git.existingSecret with such a key
{{- end }}
{{- if not (or $git.knownHosts $git.existingSecret) }}
- git.path uses ssh; set git.knownHosts (the output of ssh-keyscan), because an unknown host is never trusted
{{- end }}
{{- if $git.password }}
- git.password is for https, but git.path uses ssh
{{- end }}
{{- else if $git.sshKey }}
- git.sshKey is for ssh, but git.path uses {{ $protocol }}
{{- end }}
{{- end }}
{{- if $git.existingSecret }}
{{- range $name := list "password" "sshKey" }}
{{- if get $git $name }}
- git.existingSecret and git.{{ $name }} are both set; set one
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.cache.existingClaim (not .Values.cache.enabled) }}
- cache.existingClaim is set, but cache.enabled is false
{{- end }}
{{- end -}}

{{- define "modelsync.validate.auth" -}}
{{- $auth := .Values.auth -}}
{{- if $auth.existingSecret }}
{{- range $name := list "predictTokens" "trainTokens" "adminTokens" "webhookSecret" }}
{{- if get $auth $name }}
- auth.existingSecret and auth.{{ $name }} are both set; set one
{{- end }}
{{- end }}
{{- end }}
{{- if eq (include "modelsync.mode" .) "rollout" }}
{{- if or $auth.webhookSecret (and $auth.existingSecret $auth.existingSecretKeys.webhookSecret) }}
- a webhook reaches one pod, but with sync.mode rollout pods do not follow by themselves; use sync.mode pod, or let the webhook run `kubectl create job --from=cronjob/{{ include "modelsync.rolloutName" . }}`
{{- end }}
{{- end }}
{{- end -}}

{{- define "modelsync.validate.training" -}}
{{- $database := include "modelsync.database" . -}}
{{- $claim := .Values.state.existingClaim -}}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicaCount) 1) -}}
{{- $store := "set database.url, or database.existingSecret" -}}
{{- if and .Values.training.enabled (not $database) }}
{{- if $several }}
- training.enabled is true with more than one replica, but no database is named; each pod would keep versions in a SQLite file of its own, and answer with its own models; {{ $store }}, or replicaCount 1 without autoscaling
{{- end }}
{{- if eq .Values.training.jobs "kubernetes" }}
- training.jobs is kubernetes, but no database is named; the pod of a Job cannot reach a SQLite file in another pod; {{ $store }}, or training.jobs process
{{- end }}
{{- if not (or $several $claim) }}
- training.enabled is true, but no database is named; versions would be in a SQLite file that is lost with its pod; {{ $store }}, or state.existingClaim
{{- end }}
{{- end }}
{{- if and (ne .Values.training.schedule "off") (not .Values.training.enabled) }}
- training.schedule is {{ .Values.training.schedule }}, but training.enabled is false; nothing would be trained
{{- end }}
{{- if and $claim $several }}
- state.existingClaim is the volume of one pod, but there is more than one replica; set replicaCount 1 without autoscaling
{{- end }}
{{- if and .Values.database.existingSecret .Values.database.url }}
- database.existingSecret and database.url are both set; set one
{{- end }}
{{- if and .Values.training.data.existingSecret .Values.training.data.url }}
- training.data.existingSecret and training.data.url are both set; set one
{{- end }}
{{- range $name := list "accessKey" "secretKey" }}
{{- if and $.Values.artifacts.existingSecret (get $.Values.artifacts $name) }}
- artifacts.existingSecret and artifacts.{{ $name }} are both set; set one
{{- end }}
{{- end }}
{{- if ne (empty .Values.artifacts.accessKey) (empty .Values.artifacts.secretKey) }}
- artifacts.accessKey and artifacts.secretKey belong together, but only one is set
{{- end }}
{{- end -}}

{{- define "modelsync.validate.traffic" -}}
{{- if and .Values.gateway.enabled (not .Values.gateway.parentRefs) }}
- gateway.enabled is true, but gateway.parentRefs names no Gateway
{{- end }}
{{- if and .Values.service.nodePort (eq .Values.service.type "ClusterIP") }}
- service.nodePort is set, but service.type is ClusterIP
{{- end }}
{{- if and (gt (len .Values.service.ipFamilies) 1) (eq .Values.service.ipFamilyPolicy "SingleStack") }}
- service.ipFamilies names two families, but service.ipFamilyPolicy is SingleStack
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
- metrics.serviceMonitor and metrics.podMonitor are both enabled, so every pod would be scraped twice; enable one
{{- end }}
{{- $autoscaling := .Values.autoscaling -}}
{{- if $autoscaling.enabled }}
{{- if gt (int $autoscaling.minReplicas) (int $autoscaling.maxReplicas) }}
- autoscaling.minReplicas is over autoscaling.maxReplicas
{{- end }}
{{- if not (or $autoscaling.targetCPUUtilizationPercentage $autoscaling.targetMemoryUtilizationPercentage $autoscaling.metrics) }}
- autoscaling.enabled is true, but there is nothing to scale by; set autoscaling.targetCPUUtilizationPercentage or autoscaling.metrics
{{- end }}
{{- range $resource, $target := dict "cpu" $autoscaling.targetCPUUtilizationPercentage "memory" $autoscaling.targetMemoryUtilizationPercentage }}
{{- if and $target (not (dig "requests" $resource "" $.Values.resources)) (not (dig "limits" $resource "" $.Values.resources)) }}
- autoscaling goes by {{ $resource }}, but resources.requests.{{ $resource }} is not set
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "modelsync.validate.pods" -}}
{{- $needed := include "modelsync.gracePeriod" . | int -}}
{{- $given := int .Values.lifecycle.terminationGracePeriodSeconds -}}
{{- if and $given (lt $given $needed) }}
- lifecycle.terminationGracePeriodSeconds is {{ $given }}, so requests in flight would be killed; {{ $needed }} at least (preStopSleepSeconds + MODELSYNC_DRAIN_TIMEOUT + 20), or 0
{{- end }}
{{- if and (has (toString .Values.lifecycle.maxSurge) (list "0" "0%")) (has (toString .Values.lifecycle.maxUnavailable) (list "0" "0%")) }}
- lifecycle.maxSurge and lifecycle.maxUnavailable are both 0; no rollout could start
{{- end }}
{{- with .Values.image.credentials }}
{{- if ne (empty .username) (empty .password) }}
- image.credentials.username and image.credentials.password belong together, but only one is set
{{- end }}
{{- end }}
{{- $elsewhere := include "modelsync.validate.podSpec" . | fromYaml }}
{{- range $field := keys .Values.extraPodSpec | sortAlpha }}
{{- if hasKey $elsewhere $field }}
- extraPodSpec.{{ $field }} is written by the chart; {{ get $elsewhere $field }}
{{- end }}
{{- end }}
{{- range $variable := .Values.extraEnv }}
{{- if or (hasPrefix "MODELSYNC_" $variable.name) (has $variable.name (list "baseUrl" "gitPath" "usergit" "gitpassword")) }}
- extraEnv sets {{ $variable.name }}, which has a value of its own
{{- end }}
{{- end }}
{{- end -}}

{{/* The fields of a pod's spec that the chart writes, and what to set instead. */}}
{{- define "modelsync.validate.podSpec" -}}
{{- range $field := list "affinity" "hostAliases" "initContainers" "nodeSelector" "priorityClassName" "runtimeClassName" "tolerations" "topologySpreadConstraints" }}
{{ $field }}: set {{ $field }}
{{- end }}
containers: set extraContainers
imagePullSecrets: set image.pullSecrets
securityContext: set podSecurityContext
serviceAccountName: set serviceAccount.name
serviceAccount: set serviceAccount.name
terminationGracePeriodSeconds: set lifecycle.terminationGracePeriodSeconds
volumes: set extraVolumes
{{- range $field := list "automountServiceAccountToken" "enableServiceLinks" "restartPolicy" }}
{{ $field }}: it cannot be changed
{{- end }}
{{- end -}}
