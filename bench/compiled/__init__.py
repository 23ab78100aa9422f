"""What of scikit-learn compiles, and how much faster it then answers."""
