// What enforces network policies. A module of its own: it is made for another release of Kubernetes' libraries.
module modelsync.dev/cluster/policies

go 1.26.0

tool github.com/cloudnativelabs/kube-router/v2/cmd/kube-router

require github.com/cloudnativelabs/kube-router/v2 v2.1.0
