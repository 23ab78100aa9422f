"""The outcome of a request: the encoded result, or the error that the client gets."""

from __future__ import annotations

from collections.abc import Callable

from modelsync.errors import RequestError

Outcome = bytes | RequestError
"""The encoded result, or the error that explains why there is none."""

Done = Callable[[Outcome], None]
"""Called exactly once with the outcome of a request, in any thread."""
