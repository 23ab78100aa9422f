"""Kubernetes: calls of its API that are tried again, and Jobs made from a template."""
