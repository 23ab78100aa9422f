// The modules that carry custom resource definitions: read as files, never compiled, hence `go mod download` and no tidy.
module modelsync.dev/cluster/crds

go 1.26.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
