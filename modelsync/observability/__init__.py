"""Counters, logs and the redaction of secrets."""
