"""Loads models into the process."""
