"""Trained models: their methods called with tables, before and after they are fitted."""
