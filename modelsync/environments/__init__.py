"""Environments: the requirements of a model folder become a Python environment of its own."""
