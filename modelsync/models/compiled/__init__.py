"""Compiled estimators: the same answers, proven equal, without scikit-learn on the predict path."""
