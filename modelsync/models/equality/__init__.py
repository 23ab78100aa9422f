"""The proof that two calls answer the same: rows made of a fitted estimator, and the comparison."""
