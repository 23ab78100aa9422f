"""Checks models in a child process before they serve: they must load and answer their examples."""
