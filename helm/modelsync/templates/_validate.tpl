{{/* Values that contradict each other: said here, in one message, rather than by a pod that does not start. */}}
{{- define "modelsync.validate" -}}
{{- $problems := include "modelsync.validate.formats" . | fromYamlArray -}}
{{- if not $problems -}}
{{- /* The rest compares values that are what they should be. */ -}}
{{- $problems = concat
      (include "modelsync.validate.git" . | fromYamlArray)
      (include "modelsync.validate.auth" . | fromYamlArray)
      (include "modelsync.validate.training" . | fromYamlArray)
      (include "modelsync.validate.traffic" . | fromYamlArray)
      (include "modelsync.validate.canary" . | fromYamlArray)
      (include "modelsync.validate.keda" . | fromYamlArray)
      (include "modelsync.validate.pods" . | fromYamlArray)
      (include "modelsync.validate.sidecars" . | fromYamlArray) -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "modelsync.validate.git" -}}
{{- $git := .Values.git -}}
{{- $protocol := include "modelsync.git.protocol" . -}}
{{- $named := include "modelsync.named" . | fromYamlArray -}}
{{- if and $named (lt (len $named) (len $git.models)) }}
- git.models has models to serve ({{ join ", " $named }}) and models to leave out; without the latter the same are served
{{- end }}
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
{{- if and (eq .Values.sync.mode "rollout") (hasPrefix "@" .Values.sync.schedule) }}
- "sync.schedule is {{ .Values.sync.schedule }}, but a CronJob has whole minutes; with sync.mode rollout write five fields of cron such as * * * * *, each minute"
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
{{- if and (eq (include "modelsync.mode" .) "rollout") (not (include "modelsync.follower" .)) }}
{{- if or $auth.webhookSecret (and $auth.existingSecret $auth.existingSecretKeys.webhookSecret) }}
- a webhook reaches one pod, but with sync.mode rollout pods do not follow by themselves; set rollout.follower.enabled true and a sync.schedule other than off, use sync.mode pod, or let the webhook run `kubectl create job --from=cronjob/{{ include "modelsync.rolloutName" . }}`
{{- end }}
{{- end }}
{{- end -}}

{{- define "modelsync.validate.training" -}}
{{- $database := include "modelsync.database" . -}}
{{- $claim := .Values.state.existingClaim -}}
{{- $several := or (include "modelsync.autoscaled" .) (gt (int .Values.replicaCount) 1) -}}
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
{{- range $name := list "serviceMonitor" "podMonitor" }}
{{- $monitor := get $.Values.metrics $name }}
{{- if and $monitor.enabled (gt (include "modelsync.seconds" $monitor.scrapeTimeout | int) (include "modelsync.seconds" $monitor.interval | int)) }}
- metrics.{{ $name }}.scrapeTimeout is over metrics.{{ $name }}.interval
{{- end }}
{{- end }}
{{- $autoscaling := .Values.autoscaling -}}
{{- if $autoscaling.enabled }}
{{- if gt (int $autoscaling.minReplicas) (int $autoscaling.maxReplicas) }}
- autoscaling.minReplicas is over autoscaling.maxReplicas
{{- end }}
{{- if $autoscaling.keda.enabled }}
- autoscaling.enabled and autoscaling.keda.enabled are both true, but KEDA makes a HorizontalPodAutoscaler of its own; set one
{{- end }}
{{- if not (or $autoscaling.targetCPUUtilizationPercentage $autoscaling.targetMemoryUtilizationPercentage $autoscaling.metrics) }}
- autoscaling.enabled is true, but there is nothing to scale by; set autoscaling.targetCPUUtilizationPercentage or autoscaling.metrics
{{- end }}
{{- range $resource, $target := dict "cpu" $autoscaling.targetCPUUtilizationPercentage "memory" $autoscaling.targetMemoryUtilizationPercentage }}
{{- if and $target (not (dig "requests" $resource "" ($.Values.resources | default dict))) (not (dig "limits" $resource "" ($.Values.resources | default dict))) }}
- autoscaling goes by {{ $resource }}, but resources.requests.{{ $resource }} is not set
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "modelsync.validate.keda" -}}
{{- $keda := .Values.autoscaling.keda -}}
{{- $kinds := list -}}
{{- range $keda.triggers -}}{{- $kinds = append $kinds .type -}}{{- end -}}
{{- if $keda.enabled }}
{{- if gt (int $keda.minReplicas) (int $keda.maxReplicas) }}
- autoscaling.keda.minReplicas is over autoscaling.keda.maxReplicas
{{- end }}
{{- if not $kinds }}
- autoscaling.keda.enabled is true, but autoscaling.keda.triggers is empty; there is nothing to scale by
{{- else if not (or (int $keda.minReplicas) (without $kinds "cpu" "memory")) }}
- autoscaling.keda.minReplicas is 0, but no pod uses cpu or memory then, and nothing would start one; add a trigger of another type, or set minReplicas 1
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
{{- $lifecycle := .Values.lifecycle }}
{{- if ge (int $lifecycle.minReadySeconds) (int $lifecycle.progressDeadlineSeconds) }}
- lifecycle.minReadySeconds is {{ int $lifecycle.minReadySeconds }}, so no pod would count as ready within lifecycle.progressDeadlineSeconds, {{ int $lifecycle.progressDeadlineSeconds }}; make the latter larger, best by a minute or more
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

{{/* The pods that load models but do not serve have the same containers beside them; volumes of the server's are missing there. */}}
{{- define "modelsync.validate.sidecars" -}}
{{- if or (eq (include "modelsync.mode" .) "rollout") (include "modelsync.clusterJobs" .) (include "modelsync.trainCronJob" .) }}
{{- range $name := list "initContainers" "extraContainers" }}
{{- range $container := get $.Values $name }}
{{- range $mount := $container.volumeMounts }}
{{- if has $mount.name (list "auth" "store" "training-data") }}
- {{ $name }} mounts the volume {{ $mount.name }} in {{ $container.name }}, which the pods of rollouts and trainings lack; mount the same Secret or claim by a volume of your own in extraVolumes
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
