"""The requests that a generation sends to the supervisor: one byte each, through a pipe."""

from __future__ import annotations

SYNC = b"s"
"""Sync as soon as possible."""

PLACE_ANEW = b"p"
"""Replace the generation by one of the same release: a model is to run in another place."""
