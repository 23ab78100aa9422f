{{/*
The pod template of a Deployment that serves: metadata and spec. Of a dict:
`root`: the root context; `component`: the label by which its pods are found; `state`: the ConfigMap in which its rollouts
remember the good commit; `env`: variables that only these pods have, a list, or nothing.
*/}}
{{- define "modelsync.server.pod" -}}
{{- with .root -}}
{{- $mode := include "modelsync.mode" . -}}
{{- $auth := include "modelsync.auth.podFiles" . | fromYaml -}}
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
  {{- include "modelsync.spread" (dict "root" . "component" $.component) | nindent 2 }}
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
        {{- $resources := .Values.resources | default dict }}
        {{- $kind := ternary "limits" "requests" (hasKey ($resources.limits | default dict) "cpu") }}
        {{- if hasKey (get $resources $kind | default dict) "cpu" }}
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
        # No commit but the pinned one is served, so that no two pods ever serve two: without one a pod waits, unready.
        - name: MODELSYNC_GIT_PINNED
          value: "true"
        # Set by `modelsync rollout`.
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
      {{- with .Values.lifecycle.preStopSleepSeconds }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ . }}
      {{- end }}
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
    {{- include "modelsync.auth.volume" (dict "root" $.root "files" $auth) | nindent 4 }}
    {{- end }}
{{- end }}
{{- end -}}
