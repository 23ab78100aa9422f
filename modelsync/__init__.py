"""modelsync: push a folder, get an endpoint."""

__version__ = "0.1.0"
