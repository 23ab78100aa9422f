"""Loads a model: imports its folder, makes its instance, reads its signature."""
