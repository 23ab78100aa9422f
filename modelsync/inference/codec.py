"""The interface of a protocol to the data plane: `decode` a payload, `encode` a result."""

from __future__ import annotations

from typing import Any, Protocol

from modelsync.models.request_form import Digits


class Codec(Protocol):
    """The two halves of a protocol that run inside a call of a model.

    They run there, and not in the event loop, because decoding 10 MB would block the loop, and
    because encoding calls methods of the model's own objects.
    """

    def decode(self, payload: bytes, /) -> Any:
        """Return the variables of a request, of several rows as `Rows`. Raises MalformedBody."""

    def decode_exactly(self, payload: bytes, digits: Digits, /) -> Any:
        """Do as `decode` for a model that needs more digits of numbers. Raises MalformedBody."""

    def encode(self, result: Any, /) -> bytes:
        """Return a model's result in the bytes of the protocol. Raises ModelRaised."""
