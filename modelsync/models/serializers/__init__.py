"""Formats in which fitted models are stored: one module per format, in a registry."""
