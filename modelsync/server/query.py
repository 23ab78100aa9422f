"""The query strings of predictions: the options of `/all`, and variables of a GET request.

It is free of Flask, because the event loop uses it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from modelsync import json_text
from modelsync.errors import MalformedBody
from modelsync.models.tables.bodies import KEYS

MAX_FIELDS = 1000
"""Parameters of a query string."""

OPTIONS = ("models", "flat")
"""The parameters of `/all`."""

_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class AllOptions:
    """The options of `POST /<base>/all`, as in `?models=A,B&flat=true`; no names: all models."""

    names: tuple[str, ...] = ()
    flat: bool = False


def all_options(query: str, *, flat: bool = False) -> AllOptions:
    """Parse the options of `/all`; `flat` is its default.

    Raises MalformedBody if one is unknown, or if `flat` is neither true nor false.
    """
    if not query:
        return AllOptions(flat=flat)
    fields = fields_of(query)
    if unknown := fields.keys() - OPTIONS:  # else a misspelt `?model=A` would ask all models
        raise MalformedBody(
            f"unknown query parameter {min(unknown)[:100]!r}; known are {' and '.join(OPTIONS)}"
        )
    names = [name.strip() for text in fields.get("models", ()) for name in text.split(",")]
    wanted = fields.get("flat", [str(flat)])[-1].strip().lower()
    if wanted not in _FLAGS:
        raise MalformedBody("the query parameter flat must be true or false")
    return AllOptions(tuple(name for name in names if name), _FLAGS[wanted])


def version_of(query: str) -> str:
    """Return the version that `?key=` of a prediction names, or another of `KEYS`; empty without.

    Raises MalformedBody.
    """
    fields = fields_of(query) if query else {}
    return next((fields[name][-1] for name in KEYS if fields.get(name)), "")


def body_of(query: str) -> bytes:
    """Return the request body with the variables of `GET .../predict?a=1&b=x`.

    A value is parsed as JSON, or else is a text. A name that comes several times becomes a list.
    Raises MalformedBody.
    """
    variables: dict[str, Any] = {}
    for name, texts in fields_of(query).items():
        values = [_value(text) for text in texts]
        variables[name] = values if len(values) > 1 else values[0]
    return orjson.dumps({"variables": variables})


def fields_of(query: str) -> dict[str, list[str]]:
    """Return the parameters of a query string, each with its values. Raises MalformedBody."""
    try:
        return parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        raise MalformedBody("the query string is not UTF-8") from None
    except ValueError:
        raise MalformedBody(f"the query string has more than {MAX_FIELDS} parameters") from None


def _value(text: str) -> Any:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return orjson.Fragment(text) if json_text.has_long_number(text.encode()) else found
