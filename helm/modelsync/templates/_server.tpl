{{/*
The pod template of a Deployment that serves: metadata and spec. Of a dict:
`root`: the root context; `component`: the label by which its pods are found; `state`: the ConfigMap in which its rollouts
remember the good commit; `env`: variables that only these pods have, a list, or nothing.
*/}}
{{- define "modelsync.server.pod" -}}
{{- with .root -}}
{{- $mode := include "modelsync.mode" . -}}
{{- $auth := include "modelsync.auth.files" . | fromYaml -}}
{{- $store := include "modelsync.store.files" . | fromYaml -}}
metadata:
  labels:
    {{- include "modelsync.podLabels" . | nindent 4 }}
    app.kubernetes.io/component: {{ $.component }}
  annotations:
    # Settings are read at start. Secrets are not summed up here: they are files, read again at each use.
    checksum/settings: {{ include "modelsync.settings" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "modelsync.pod" . | nindent 2 }}
  {{- include "modelsync.placement" .Values | nindent 2 }}
  serviceAccountName: {{ include "modelsync.serviceAccount" . }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ int .Values.lifecycle.terminationGracePeriodSeconds | default (include "modelsync.gracePeriod" .) }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range $constraint := . }}
    {{- $selector := dict "matchLabels" (merge (dict "app.kubernetes.io/component" $.component) (include "modelsync.selectorLabels" $.root | fromYaml)) }}
    - {{- merge (deepCopy $constraint) (dict "labelSelector" $selector "matchLabelKeys" (list "pod-template-hash")) | toYaml | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: modelsync
      {{- include "modelsync.container" . | nindent 6 }}
      args: [serve]
      ports:
        - name: http
          containerPort: 8080
          protocol: TCP
      envFrom:
        {{- include "modelsync.envFrom" . | nindent 8 }}
      env:
        {{- if not .Values.settings.MODELSYNC_WORKERS }}
        {{- $kind := ternary "limits" "requests" (hasKey (.Values.resources.limits | default dict) "cpu") }}
        {{- if hasKey (get .Values.resources $kind | default dict) "cpu" }}
        # The service would count the node's processors.
        - name: MODELSYNC_WORKERS
          valueFrom:
            resourceFieldRef:
              containerName: modelsync
              resource: {{ $kind }}.cpu
              divisor: "1"
        {{- end }}
        {{- end }}
        {{- if eq $mode "rollout" }}
        # Set by `modelsync rollout`; without the annotation the ref's tip is served.
        - name: MODELSYNC_GIT_REVISION
          valueFrom:
            fieldRef:
              fieldPath: metadata.annotations['modelsync.dev/revision']
        # The last one that became ready everywhere.
        - name: MODELSYNC_GIT_PROVEN
          valueFrom:
            configMapKeyRef:
              name: {{ $.state }}
              key: good
              optional: true
        {{- end }}
        {{- with $.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- include "modelsync.env" . | nindent 8 }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ .Values.lifecycle.preStopSleepSeconds }}
      startupProbe:
        httpGet: {path: /livez, port: http}
        {{- toYaml .Values.probes.startup | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        {{- toYaml .Values.probes.readiness | nindent 8 }}
      livenessProbe:
        httpGet: {path: /livez, port: http}
        {{- toYaml .Values.probes.liveness | nindent 8 }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        {{- include "modelsync.volumeMounts" . | nindent 8 }}
        {{- if $auth }}
        - name: auth
          mountPath: /etc/modelsync/auth
          readOnly: true
        {{- end }}
        {{- if $store }}
        {{- include "modelsync.store.mount" . | nindent 8 }}
        {{- end }}
        {{- if .Values.training.data.existingClaim }}
        {{- include "modelsync.data.mount" . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: state
      {{- with .Values.state.existingClaim }}
      persistentVolumeClaim:
        claimName: {{ . }}
      {{- else }}
      emptyDir:
        sizeLimit: {{ .Values.state.sizeLimit }}
      {{- end }}
    {{- include "modelsync.volumes" . | nindent 4 }}
    {{- if $store }}
    {{- include "modelsync.store.volume" (dict "root" $.root "files" (values $store)) | nindent 4 }}
    {{- end }}
    {{- if .Values.training.data.existingClaim }}
    {{- include "modelsync.data.volume" . | nindent 4 }}
    {{- end }}
    {{- if $auth }}
    - name: auth
      secret:
        secretName: {{ include "modelsync.auth.secret" . }}
        defaultMode: 0440
        items:
          {{- range $file := values $auth | uniq | sortAlpha }}
          - {key: {{ $file }}, path: {{ $file }}}
          {{- end }}
    {{- end }}
{{- end }}
{{- end -}}
