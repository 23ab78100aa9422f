"""Strict parser of the body of a prediction request, `{"variables": {...}}`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from modelsync import json_text
from modelsync.errors import MalformedBody

WANTED = 'send {"variables": {...}}'
"""The end of each message about a body of another shape."""

BOM = b"\xef\xbb\xbf"
"""The byte order mark in UTF-8, which RFC 8259 section 8.1 forbids."""

MAX_SCANNED = 64 * 1024
"""Bytes of a body; in a longer one a duplicate key is named without its position."""

_loads = json_text.loads


def parser(
    wanted: str = WANTED, other: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> Callable[[bytes], dict[str, Any]]:
    """Return the parser of the bodies of one protocol.

    It returns the variables of a body, or what `other` makes of a body without them. It raises
    MalformedBody, with line and column if they are known, for malformed, empty or truncated JSON,
    invalid UTF-8, a byte order mark, NaN, nesting deeper than 1,024, numbers that do not fit a
    double, duplicate keys, and `variables` that are missing or no object; `wanted` ends the
    messages about a body of another shape. Other keys of the body are ignored.
    """

    def parse(body: bytes) -> dict[str, Any]:
        """Return the variables of a body, or what `other` makes of it. Raises MalformedBody."""
        try:
            document = _loads(body)
        except json_text.JSONDecodeError as error:
            _refuse(body, error, wanted)
        if type(document) is not dict:
            raise MalformedBody(f"the body is {_kind(document)}, not an object; {wanted}", 0)
        variables = document.get("variables")
        if type(variables) is not dict:
            if other is None or "variables" in document:
                raise without_variables(document, wanted)
            _check_keys(body, document)
            return other(document)
        # Every key comes with a colon, so as many colons as keys means that no key came twice. If
        # the numbers differ, because of nested objects or colons in texts, all keys are counted; if
        # they still differ, the body is parsed again, slowly.
        colons = body.count(b":")
        if colons != len(document) + len(variables) and colons != _count(document):
            _refuse_duplicates(body)
        return variables

    return parse


def without_variables(document: dict[str, Any], wanted: str) -> MalformedBody:
    """Return the error for a body whose variables are missing or no object."""
    if "variables" in document:
        return MalformedBody(
            f"variables is {_kind(document['variables'])}, not an object; {wanted}"
        )
    return MalformedBody(f"the body holds no variables; {wanted}")


parse = parser()


def _check_keys(body: bytes, document: dict[str, Any]) -> None:
    """Check that no key came twice, as `parse` does for variables. Raises MalformedBody."""
    keys = sum(len(value) for value in document.values() if type(value) is dict)
    colons = body.count(b":")
    if colons != len(document) + keys and colons != _count(document):
        _refuse_duplicates(body)


def _count(document: Any) -> int:
    """Return the number of keys in all objects of a document."""
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


# --- errors and their positions -------------------------------------------------------------------


def _refuse(body: bytes, error: json_text.JSONDecodeError, wanted: str) -> NoReturn:
    if not body.strip():
        raise MalformedBody(f"the body is empty; {wanted}", 0) from None
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
    """Check that no object of a valid document has a key twice. Raises MalformedBody."""
    if len(body) <= MAX_SCANNED:
        _scan(body)
        return
    try:
        json.loads(body, object_pairs_hook=_unique, parse_int=str, parse_float=str)
    except _Duplicate as error:
        raise MalformedBody(_twice(str(error))) from None
    except RecursionError:
        message = "the body is nested too deep to be checked for duplicate keys"
        raise MalformedBody(message) from None


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
    """Check as `_refuse_duplicates` does, and give the position of the second key."""
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
