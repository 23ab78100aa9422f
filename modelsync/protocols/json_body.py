"""The body of a prediction request: `{"variables": {...}}`, read strictly."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

from modelsync.errors import MalformedBody

WANTED = 'send {"variables": {...}}'
BOM = b"\xef\xbb\xbf"
LARGEST_SCANNED = 64 * 1024  # bytes; in a longer body a duplicate key is named without its position

_loads = orjson.loads


def parse(body: bytes) -> dict[str, Any]:
    """Take the variables out of a request body.

    Raises MalformedBody, with line and column where they are known: malformed, empty or truncated
    JSON, invalid UTF-8, a byte order mark, NaN, nesting deeper than 1,024, numbers that no double
    holds, duplicate keys, no `variables`, or one that is no object. Keys beside `variables` are
    left to those who know them.
    """
    try:
        document = _loads(body)
    except orjson.JSONDecodeError as error:
        _refuse(body, error)
    if type(document) is not dict:
        raise MalformedBody(f"the body is {_kind(document)}, not an object; {WANTED}", 0)
    variables = document.get("variables")
    if type(variables) is not dict:
        if "variables" in document:
            raise MalformedBody(f"variables is {_kind(variables)}, not an object; {WANTED}")
        raise MalformedBody(f"the body holds no variables; {WANTED}")
    # Every key brings a colon, so as many colons as keys means that none was given twice. Only what
    # differs (nested objects, colons in texts) is counted through, and only what then differs is
    # parsed again, slowly.
    colons = body.count(b":")
    if colons != len(document) + len(variables) and colons != _count(document):
        _refuse_duplicates(body)
    return variables


def _count(document: Any) -> int:
    """The number of keys in all objects of a document."""
    keys, waiting = 0, [document]
    while waiting:
        value = waiting.pop()
        if type(value) is dict:
            keys += len(value)
            waiting.extend(item for item in value.values() if type(item) in (dict, list))
        else:
            waiting.extend(item for item in value if type(item) in (dict, list))
    return keys


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a boolean",
        type(None): "null",
    }
    return names.get(type(value), "a number")


# --- what is wrong, and where ---------------------------------------------------------------------


def _refuse(body: bytes, error: orjson.JSONDecodeError) -> NoReturn:
    if not body.strip():
        raise MalformedBody(f"the body is empty; {WANTED}", 0) from None
    if body.startswith(BOM):
        raise MalformedBody(
            "the body starts with a byte order mark at line 1, column 1; send UTF-8 without it", 0
        )
    try:
        body.decode()
    except UnicodeDecodeError as invalid:
        raise _at(body, "invalid UTF-8", invalid.start) from None
    raise MalformedBody(
        f"malformed JSON at line {error.lineno}, column {error.colno}: {error.msg}", error.pos
    ) from None


def _at(body: bytes, what: str, position: int) -> MalformedBody:
    before = body[:position]
    line, column = before.count(b"\n") + 1, position - before.rfind(b"\n")
    return MalformedBody(f"{what} at line {line}, column {column}", position)


class _Duplicate(Exception):
    pass


def _refuse_duplicates(body: bytes) -> None:
    """Raise MalformedBody if some object of a valid document has a key twice."""
    if len(body) <= LARGEST_SCANNED:
        _scan(body)
        return
    try:
        json.loads(body, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except _Duplicate as error:
        raise MalformedBody(_twice(str(error))) from None
    except RecursionError:
        raise MalformedBody(
            "the body is nested too deep to be checked for duplicate keys"
        ) from None


def _twice(key: str) -> str:
    return f"duplicate key {json.dumps(key[:100], ensure_ascii=False)}"


def _unique(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _Duplicate(key)
        seen.add(key)


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?|[{}]')


def _scan(body: bytes) -> None:
    """Raise MalformedBody where a key stands that its object has had already."""
    objects: list[set[str]] = []
    for token in _TOKEN.finditer(body):
        if token[0] == b"{":
            objects.append(set())
        elif token[0] == b"}":
            objects.pop()
        elif token[1]:
            key = json.loads(body[token.start() : token.start(1)])
            if key in objects[-1]:
                raise _at(body, _twice(key), token.start())
            objects[-1].add(key)
