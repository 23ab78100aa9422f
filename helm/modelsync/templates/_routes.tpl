{{/* Which paths lead from outside to the pods of this release, where several releases share a host. */}}

{{/* The models that git.models names to serve, as YAML; none where it is empty, or names models to leave out. */}}
{{- define "modelsync.named" -}}
{{- $found := list -}}
{{- range .Values.git.models -}}
{{- if not (hasPrefix "-" .) -}}{{- $found = append $found . -}}{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* `true` where this release answers for all of /<baseUrl>: of several on one host, the one that names no models. */}}
{{- define "modelsync.ownsBase" -}}
{{- if not (include "modelsync.named" . | fromYamlArray) -}}true{{- end -}}
{{- end -}}

{{/* The paths, as YAML: that of each model that is named, else /<baseUrl>. Each stands for what is below it, too. */}}
{{- define "modelsync.paths" -}}
{{- $base := printf "/%s" .Values.baseUrl -}}
{{- range include "modelsync.named" . | fromYamlArray }}
- {{ printf "%s/%s" (trimSuffix "/" $base) . }}
{{- else }}
- {{ $base }}
{{- end }}
{{- end -}}

{{/* The same as the paths of an Ingress, which lead to a Service. Arguments: root, service. That of a model is two: some controllers
take a prefix for the beginning of a text, and /models/Price would take /models/PriceIndex, of another release, too. */}}
{{- define "modelsync.ingress.paths" -}}
{{- $backend := dict "service" (dict "name" .service "port" (dict "name" "http")) -}}
{{- $found := list -}}
{{- range $path := include "modelsync.paths" .root | fromYamlArray -}}
{{- if include "modelsync.ownsBase" $.root -}}
{{- $found = append $found (dict "path" $path "pathType" "Prefix" "backend" $backend) -}}
{{- else -}}
{{- $found = append $found (dict "path" $path "pathType" "Exact" "backend" $backend) -}}
{{- $found = append $found (dict "path" (printf "%s/" $path) "pathType" "Prefix" "backend" $backend) -}}
{{- end -}}
{{- end -}}
{{- toYaml $found -}}
{{- end -}}

{{/* What NOTES.txt says of a host: the URLs, and a command that prints how to call what is there. */}}
{{- define "modelsync.notes.urls" -}}
{{- range $path := include "modelsync.paths" .root | fromYamlArray }}
{{- $path = trimSuffix "/" $path }}
{{- if include "modelsync.ownsBase" $.root }}
  {{ $.url }}{{ $path }}/
  curl -s {{ $.url }}{{ $path }}/usage{{ $.header }}
{{- else }}
  curl -s {{ $.url }}{{ $path }}{{ $.header }}
{{- end }}
{{- end }}
{{- end -}}
