"""Shadow requests: a candidate gets predictions too, and its answers are compared with ours."""
