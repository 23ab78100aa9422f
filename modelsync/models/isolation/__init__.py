"""What keeps a model from changing the process that runs it, and other models."""
