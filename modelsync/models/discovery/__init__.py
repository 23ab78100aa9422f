"""Finds the model folders of a directory, without running any of their code."""
