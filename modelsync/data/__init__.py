"""Training data: where it comes from, whether it fits its schema, and what has changed in it."""
