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
