"""What the query string of a prediction says. Free of Flask, so that the worker asks it too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson

from modelsync.errors import MalformedBody

MAX_FIELDS = 1000

OPTIONS = ("models", "flat")

_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


@dataclass(frozen=True, slots=True)
class AllOptions:
    """`?models=A,B&flat=true` of `POST /<base>/all`. No names: every model."""

    names: tuple[str, ...] = ()
    flat: bool = False


def all_options(query: str) -> AllOptions:
    """Read the options of `/all`. Raises MalformedBody where one is unknown, or `flat` is neither
    true nor false.
    """
    if not query:
        return AllOptions()
    fields = _fields(query)
    if unknown := fields.keys() - OPTIONS:  # `?model=A`, misspelt, would ask every model
        raise MalformedBody(
            f"unknown query parameter {min(unknown)[:100]!r}; known are {' and '.join(OPTIONS)}"
        )
    names = [name.strip() for text in fields.get("models", ()) for name in text.split(",")]
    flat = fields.get("flat", ["false"])[-1].strip().lower()
    if flat not in _FLAGS:
        raise MalformedBody("the query parameter flat must be true or false")
    return AllOptions(tuple(name for name in names if name), _FLAGS[flat])


def body_of(query: str) -> bytes:
    """The request body that `GET .../predict?a=1&b=x` stands for: each value is JSON where it reads
    as such, else text.

    A name that comes several times becomes a list.
    """
    fields = {name: [_value(text) for text in texts] for name, texts in _fields(query).items()}
    return orjson.dumps(
        {"variables": {name: v if len(v) > 1 else v[0] for name, v in fields.items()}}
    )


def _fields(query: str) -> dict[str, list[str]]:
    try:
        return parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except UnicodeDecodeError:
        raise MalformedBody("the query string is not UTF-8") from None
    except ValueError:
        raise MalformedBody(f"the query string has more than {MAX_FIELDS} parameters") from None


def _value(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
