"""What a model folder is, how it is found, checked, loaded and called."""
