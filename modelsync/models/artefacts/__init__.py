"""Artefacts: files that are a model without any code. One module per format, in a registry."""
