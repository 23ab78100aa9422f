{{/* What the pods that serve, the rollout's, the trainings', the jobs' and the test's have in common. */}}

{{/* Fields of a pod's spec. */}}
{{- define "modelsync.pod" -}}
# A Service called modelsync would otherwise set MODELSYNC_PORT=tcp://...
enableServiceLinks: false
{{- $registry := include "modelsync.registrySecret" . }}
{{- if or .Values.image.pullSecrets $registry }}
imagePullSecrets:
  {{- with .Values.image.pullSecrets }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with $registry }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.extraPodSpec }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Fields of a pod's spec that choose its node, from the values that hold both. */}}
{{- define "modelsync.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Fields of a pod's spec that keep the pods of a component apart; of a dict: `root`, the root context, and `component`. Pods
of another revision do not count: they end when these are ready.
*/}}
{{- define "modelsync.spread" -}}
{{- $labels := merge (dict "app.kubernetes.io/component" .component) (include "modelsync.selectorLabels" .root | fromYaml) -}}
{{- $peers := dict "labelSelector" (dict "matchLabels" $labels) "matchLabelKeys" (list "pod-template-hash") -}}
{{- $affinity := deepCopy (.root.Values.affinity | default dict) -}}
{{- $apart := $affinity.podAntiAffinity | default dict -}}
{{- $terms := $apart.requiredDuringSchedulingIgnoredDuringExecution | default list -}}
{{- range $apart.preferredDuringSchedulingIgnoredDuringExecution -}}
{{- $terms = append $terms .podAffinityTerm -}}
{{- end -}}
{{- range $terms -}}
{{- if not (hasKey . "labelSelector") -}}{{- $_ := merge . $peers -}}{{- end -}}
{{- end -}}
{{- with $affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- ternary . (merge (deepCopy .) $peers) (hasKey . "labelSelector") | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/*
The containers beside one that loads models but does not serve: what a model needs when it is served, it needs in its check
and its fits too. Containers beside a server become sidecars here, which end with the pod's own container.
*/}}
{{- define "modelsync.companions" -}}
{{- $sidecars := list -}}
{{- range .Values.extraContainers -}}
{{- $sidecars = append $sidecars (merge (dict "restartPolicy" "Always") .) -}}
{{- end -}}
{{- with concat (.Values.initContainers | default list) $sidecars }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Fields of a container. */}}
{{- define "modelsync.container" -}}
image: {{ include "modelsync.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- with .Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Settings from the ConfigMap. */}}
{{- define "modelsync.envFrom" -}}
- configMapRef:
    name: {{ include "modelsync.fullname" . }}
{{- with .Values.extraEnvFrom }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Settings that are the chart's business; they win over the ConfigMap. */}}
{{- define "modelsync.env" -}}
{{- $values := .Values -}}
- name: MODELSYNC_HOST
  value: {{ include "modelsync.host" . | quote }}
- name: MODELSYNC_PORT
  value: "8080"
- name: MODELSYNC_HOME
  value: /var/lib/modelsync
- name: TMPDIR
  value: /tmp
{{- if and $values.git.path $values.git.existingSecret (not $values.git.user) (hasPrefix "http" $values.git.path) }}
- name: usergit
  valueFrom:
    secretKeyRef:
      name: {{ $values.git.existingSecret }}
      key: {{ $values.git.existingSecretKeys.user }}
      optional: true
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "modelsync.volumeMounts" -}}
- name: state
  mountPath: /var/lib/modelsync
- name: tmp
  mountPath: /tmp
{{- if include "modelsync.git.files" . }}
- name: git
  mountPath: /etc/modelsync/git
  readOnly: true
{{- end }}
{{- if and .Values.git.path .Values.cache.enabled }}
- name: cache
  mountPath: /var/cache/modelsync
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* All but that of `state`. */}}
{{- define "modelsync.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .Values.state.sizeLimit }}
{{- if include "modelsync.git.files" . }}
- name: git
  {{- include "modelsync.git.volume" . | nindent 2 }}
{{- end }}
{{- if and .Values.git.path .Values.cache.enabled }}
- name: cache
  persistentVolumeClaim:
    claimName: {{ include "modelsync.cacheClaim" . }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Credentials from the Secret of the user and from the chart's, under one name each. */}}
{{- define "modelsync.git.volume" -}}
{{- $git := .Values.git -}}
{{- $files := include "modelsync.git.files" . | fromYaml | values -}}
{{- $keys := dict "password" $git.existingSecretKeys.password "ssh-privatekey" $git.existingSecretKeys.sshKey "known_hosts" $git.existingSecretKeys.knownHosts -}}
{{- $own := list -}}
{{- $theirs := list -}}
{{- range $file := sortAlpha $files -}}
{{- if and $git.existingSecret (not (and (eq $file "known_hosts") $git.knownHosts)) -}}
{{- $theirs = append $theirs (dict "key" (get $keys $file) "path" $file) -}}
{{- else -}}
{{- $own = append $own (dict "key" $file "path" $file) -}}
{{- end -}}
{{- end -}}
projected:
  defaultMode: 0440
  sources:
    {{- with $theirs }}
    - secret:
        name: {{ $git.existingSecret }}
        items:
          {{- toYaml . | nindent 10 }}
    {{- end }}
    {{- with $own }}
    - secret:
        name: {{ include "modelsync.fullname" $ }}-git
        items:
          {{- toYaml . | nindent 10 }}
    {{- end }}
{{- end -}}
