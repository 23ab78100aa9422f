"""Compiling: child processes compile the estimators of models, with a time limit for each."""
