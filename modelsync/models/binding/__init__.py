"""Decides, at load, how the `variables` of a request become the arguments of a model's method."""
