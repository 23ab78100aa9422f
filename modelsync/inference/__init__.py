"""The data plane: calls models under deadlines, in batches, behind a circuit breaker. Knows no
HTTP.
"""
