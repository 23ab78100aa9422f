"""Strict parser of the body of a prediction request, `{"variables": {...}}`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NoReturn

from modelsync import json_text, plain_json
from modelsync.errors import MalformedBody
from modelsync.models.request_form import Digits, Rows

WANTED = 'send {"variables": {...}}'
"""The end of each message about a body of another shape."""

Parse = Callable[[bytes], Any]
"""Returns the variables of a body, a dict or `Rows`. Raises MalformedBody."""

BOM = b"\xef\xbb\xbf"
"""The byte order mark in UTF-8, which RFC 8259 section 8.1 forbids."""

MAX_SCANNED = 64 * 1024
"""Bytes of a body; in a longer one a duplicate key is named without its position."""


def _integers(body: bytes) -> Any:
    if not json_text.has_long_number(body):
        return json_text.loads(body)
    return plain_json.loads_exactly(body)


def _decimals(body: bytes) -> Any:
    if not json_text.has_long_number(body):
        return json_text.loads(body)
    return plain_json.loads_exactly(body, decimals=True)


def parser(
    wanted: str = WANTED,
    other: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    loads: Callable[[bytes], Any] = json_text.loads,
) -> Parse:
    """Return the parser of the bodies of one protocol.

    It returns the variables of a body, those of several rows as `Rows`, or what `other` makes of a
    body without them. It raises MalformedBody, with line and column if they are known, for
    malformed, empty or truncated JSON, invalid UTF-8, a byte order mark, NaN, nesting deeper than
    1,024, numbers that do not fit a double, duplicate keys, and `variables` that are missing or no
    objects; `wanted` ends the messages about a body of another shape. Other keys of the body are
    ignored. `loads` parses JSON.
    """

    def parse(body: bytes) -> Any:
        """Return the variables of a body, or what `other` makes of it. Raises MalformedBody."""
        try:
            document = loads(body)
        except json.JSONDecodeError as error:  # orjson's is one, too
            _refuse(body, error, wanted)
        if type(document) is not dict:
            raise MalformedBody(f"the body is {_kind(document)}, not an object; {wanted}", 0)
        variables = document.get("variables")
        if type(variables) is not dict:
            if type(variables) is list:
                _check_keys_of_all(body, document)
                return _rows(variables, wanted)
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


MAX_ROWS = 10_000
"""Objects in the `variables` of one request."""


def _rows(variables: list[Any], wanted: str) -> Any:
    """Return the variables of several rows. Raises MalformedBody."""
    if len(variables) > MAX_ROWS:
        raise MalformedBody(
            f"variables holds {len(variables)} objects; at most {MAX_ROWS} are answered at once"
        )
    for index, row in enumerate(variables):
        if type(row) is not dict:
            raise MalformedBody(f"variables[{index}] is {_kind(row)}, not an object; {wanted}")
    return Rows(variables)


def without_variables(document: dict[str, Any], wanted: str) -> MalformedBody:
    """Return the error for a body whose variables are missing or no object."""
    if "variables" in document:
        return MalformedBody(
            f"variables is {_kind(document['variables'])}, not an object; {wanted}"
        )
    return MalformedBody(f"the body holds no variables; {wanted}")


def exact_parser(
    wanted: str = WANTED, other: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> Callable[[bytes, Digits], Any]:
    """Return the same parser for models that need more digits than a double has."""
    parsers = {
        "doubles": parser(wanted, other),
        "integers": parser(wanted, other, _integers),
        "decimals": parser(wanted, other, _decimals),
    }
    return lambda body, digits: parsers[digits](body)


parse = parser()
parse_exactly = exact_parser()


def _check_keys_of_all(body: bytes, document: dict[str, Any]) -> None:
    """Check that no object has a key twice. Raises MalformedBody."""
    if body.count(b":") != _count(document):
        _refuse_duplicates(body)


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


def _refuse(body: bytes, error: json.JSONDecodeError, wanted: str) -> NoReturn:
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
