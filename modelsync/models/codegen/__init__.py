"""Writes code: `serve_models.py` of a release, and the folder of a new model."""
