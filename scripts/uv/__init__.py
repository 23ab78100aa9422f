"""Runs uv with pip's configuration: `python -m scripts.uv ARGUMENTS`.

It takes the uv on PATH or downloads a pinned one from the package index. It uses only the standard
library, so that it works on a Debian that has neither pip nor venv.
"""
