"""The data plane: calls models under deadlines, in batches, behind a circuit breaker.

It takes variables and gives outcomes, and knows no HTTP.
"""
