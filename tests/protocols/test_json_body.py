"""The request body: what is read, and what is refused where."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelsync.errors import MalformedBody
from modelsync.protocols.json_body import parse


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"age": 3},
        {"time": "12:30:00", "url": "http://x"},
        {"a": {"b": [{"c": 1}, {"c": 2}]}, "d": {"b": 1}},
        {"text": '{"a":1,"a":2} \\ "'},
        {":": {":": ":"}},
    ],
)
def test_variables_are_read(variables: dict[str, Any]) -> None:
    """Nesting, colons in texts and keys that recur in other objects are all fine."""
    assert parse(json.dumps({"variables": variables}).encode()) == variables


def test_other_keys_are_left_alone() -> None:
    """Clients may send more than variables."""
    assert parse(b'{"id": "x:y", "variables": {"a": 1}, "more": [{"a": 2}]}') == {"a": 1}


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "the body is empty"),
        (b" \n", "the body is empty"),
        (b"{variables", "line 1, column 2"),
        (b'{"variables":\n  {"a": }}', "line 2, column 9"),
        (b'{"variables": {"a": 1}', "line 1, column 23"),
        (b'{"variables": {"a": 1}} x', "line 1, column 25"),
        (b'{"variables":\n{"a": "\xff"}}', "invalid UTF-8 at line 2, column 8"),
        (b'\xef\xbb\xbf{"variables": {}}', "byte order mark"),
        (b'{"variables": {"a": NaN}}', "line 1, column 21"),
        (b'{"variables": {"a": -Infinity}}', "line 1, column 2"),
        (b'{"variables": {"a": 1e999}}', "line 1, column 21"),
        (b'{"variables": {"a": ' + b"9" * 5000 + b"}}", "line 1, column 21"),
        (b"[" * 100_000, "depth limit"),
        (b'{"variables":' * 100_000, "depth limit"),
        (b'{"variables": {"a": "\\ud800"}}', "surrogate"),
        (b'{"variables": {"a": 1, "a": 2}}', 'duplicate key "a" at line 1, column 24'),
        (b'{"variables": {"a": 1,\n"\\u0061": 2}}', 'duplicate key "a" at line 2, column 1'),
        (b'{"variables": {}, "variables": {}}', 'duplicate key "variables" at line 1, column 19'),
        (
            b'{"variables": {"t": "1:2", "b": [{"c" : 1, "c": 2}]}}',
            'duplicate key "c" at line 1, column 44',
        ),
        (b'{"variables": {"a": 1, "a": 2, "x": "' + b"x" * 100_000 + b'"}}', 'duplicate key "a"'),
        (b"{}", "holds no variables"),
        (b'{"variables": null}', "variables is null, not an object"),
        (b'{"variables": [1]}', "variables[0] is a number, not an object"),
        (b'{"variables": 1}', "variables is a number, not an object"),
        (b"[]", "the body is a list, not an object"),
        (b'"x"', "the body is a text, not an object"),
        (b"null", "the body is null, not an object"),
    ],
    ids=lambda value: repr(value[:40]),
)
def test_a_bad_body_is_refused_with_the_place(body: bytes, detail: str) -> None:
    """A body without variables is a MalformedBody that says what is wrong, and where."""
    with pytest.raises(MalformedBody) as caught:
        parse(body)
    assert detail in str(caught.value)


def test_position_counts_bytes_from_the_start() -> None:
    """The position leads into the very bytes that were sent."""
    body = '{"variables": {"ä": 1, "a": 2, "a": 3}}'.encode()
    with pytest.raises(MalformedBody) as caught:
        parse(body)
    assert body[caught.value.position :].startswith(b'"a": 3')
