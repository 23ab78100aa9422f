"""Models without code: one file per format, in a registry."""
