"""How a model is called with requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelsync.models.binding.typehints import Call, Schema


@dataclass(frozen=True, slots=True)
class Calls:
    """The functions that answer requests: the members of `LoadedModel` of these names.

    `call` takes `variables` and returns the result, for an `async def` an awaitable; of a trainable
    model it takes tables too. `bind` and `call_batch` are those of a model that takes several
    requests at once.
    """

    call: Call
    schema: Schema | None
    bind: Call | None = None
    call_batch: Callable[[list[Any]], list[Any]] | None = None
