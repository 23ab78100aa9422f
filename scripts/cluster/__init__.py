"""The cluster of `make test-cluster`: a real Kubernetes, built and run on this machine if no other
is available.
"""
