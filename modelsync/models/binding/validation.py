"""Validates `variables` by the types of a signature, with the pydantic that is installed, if any.

The service has pydantic 2. The environment of a model may have version 1, whose models are then
validated by it, or none: then names, defaults and simple types are checked by code of our own. It
is imported with the first signature that needs it, since it takes half of the memory of a runner.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

from modelsync.models.binding.typehints import Schema, Validate
from modelsync.models.schemas import json_values


class _Validator(Protocol):
    """The functions of this module, as each validator has them."""

    def structure(self, parameter: str, kind: Any) -> tuple[Validate, Schema]: ...

    def members(self, keys: dict[str, Any]) -> tuple[Validate, Schema]: ...

    def arguments(
        self, hints: dict[str, Any], defaults: dict[str, Any], *, open_ended: bool
    ) -> tuple[Validate, Schema]: ...

    def response(self, kind: Any) -> Schema | None: ...


def structure(parameter: str, kind: Any) -> tuple[Validate, Schema]:
    """Return the validator and the JSON schema of one type that describes the whole object.

    `parameter` is the name of the parameter that has this type. Raises ModelBroken if values of the
    type cannot be made of JSON.
    """
    return _plain(_validator().structure(parameter, kind))


def members(keys: dict[str, Any]) -> tuple[Validate, Schema]:
    """Return both for an object with these keys and their types. Other keys are dropped."""
    return _plain(_validator().members(keys))


def arguments(
    hints: dict[str, Any], defaults: dict[str, Any], *, open_ended: bool
) -> tuple[Validate, Schema]:
    """Return both for the arguments of a method: the type of each, and the defaults of some.

    Python fills in the default of a variable that is missing. Variables that are not named are
    dropped, because `/all` gives the same ones to every model; `open_ended` (`**kwargs`) passes
    them. Raises ModelBroken, which names the parameter whose type cannot be made of JSON.
    """
    return _plain(_validator().arguments(hints, defaults, open_ended=open_ended))


def response(kind: Any) -> Schema | None:
    """Return the JSON schema of the answers of a method that returns this type; None without
    one.
    """
    return _validator().response(kind)


def _plain(found: tuple[Validate, Schema]) -> tuple[Validate, Schema]:
    """Return both, with what JSON can hold of the schema: much in it is the model's own."""
    validate, schema = found
    return validate, json_values.plain(schema)


@cache
def _validator() -> _Validator:
    try:
        from pydantic import VERSION
    except ImportError:
        from modelsync.models.binding import plain_types

        return plain_types
    if VERSION.startswith("1."):
        from modelsync.models.binding import pydantic_1

        return pydantic_1
    from modelsync.models.binding import pydantic_2

    return pydantic_2
