"""The cluster of `make test-cluster`: a real Kubernetes, built and run on this machine where there
is none to use.
"""
