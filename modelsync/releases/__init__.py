"""Releases on disk, and which processes serve them."""
