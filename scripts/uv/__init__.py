"""Runs uv as pip is configured here: `python -m scripts.uv ARGUMENTS`. The uv of PATH, or a pinned one from the index.

Only the standard library is used, so that it works on a Debian that has neither pip nor venv.
"""
