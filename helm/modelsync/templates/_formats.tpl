{{/*
What a value must look like, in words: Helm's own message would be the pattern. files/formats.json comes from
scripts/chart_formats.py. Numbers and words that are one of several are the schema's.
*/}}

{{- define "modelsync.validate.formats" -}}
{{- $formats := .Files.Get "files/formats.json" | fromJson -}}
{{- range $name, $format := $formats.values }}
{{- $value := $.Values }}
{{- $given := true }}
{{- range $key := splitList "." $name }}
{{- $given = and $given (kindIs "map" $value) (hasKey $value $key) }}
{{- if $given }}{{- $value = get $value $key }}{{- end }}
{{- end }}
{{- $given = and $given (not (kindIs "invalid" $value)) }}
{{- if and $given $format.resources }}
{{- include "modelsync.validate.resources" (dict "name" $name "resources" $value "formats" $formats.resources) }}
{{- else if $given }}
{{- $texts := list $value }}
{{- if kindIs "slice" $value }}
{{- $texts = $value }}
{{- else if and (kindIs "map" $value) $format.says }}
{{- $texts = list }}
{{- range $key, $one := $value }}{{- $texts = append $texts (printf "%s=%v" $key $one) }}{{- end }}
{{- else if hasSuffix "schedule" $name }}
{{- $texts = list (include "modelsync.text" $value) }}
{{- end }}
{{- range $one := $texts }}
{{- if and (kindIs "string" $one) $format.says }}
{{- if or (not (regexMatch $format.match $one)) (and $format.unless (regexMatch $format.unless $one)) }}
{{- /* What stands before an @ may be a password. */}}
{{- $shown := ternary $name (printf "%s %s %q; it" $name (ternary "has" "is" (hasKey $format "several")) $one) (or $format.secret (regexMatch "[^ ]@" $one)) }}
- {{ printf "%s %s" $shown $format.says | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{- else if not (or $format.several $format.resources) }}
- {{ printf "%s is null; leave it out for its default" $name | toJson }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "modelsync.validate.resources" -}}
{{- $all := . -}}
{{- range $kind := list "requests" "limits" }}
{{- range $resource, $quantity := get $all.resources $kind | default dict }}
{{- $text := include "modelsync.text" $quantity }}
{{- with get $all.formats $resource }}
{{- if not (regexMatch .match $text) }}
- {{ printf "%s.%s.%s is %s; it %s" $all.name $kind $resource $text .says | toJson }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
