"""Checks models in a child process before they serve."""
