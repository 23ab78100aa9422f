"""Writes serve_models.py and the folder of a new model."""
