"""The codec of trainable models: which bodies it takes, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from modelsync.errors import MalformedBody, VariablesInvalid
from modelsync.models.tables.table import Table
from modelsync.protocols.tables import TABLES


@pytest.mark.parametrize(
    "body",
    [
        b'{"variables": {"a": 1}}',
        b' {"variables": {"a": 1}, "x": [[1]]}',
        b'{"x": [[1]], "variables": {"a": 1}}',
    ],
)
def test_variables_go_on_working(body: bytes) -> None:
    """They are a plain object, whatever is beside them."""
    found = TABLES.decode(body)
    assert (type(found), found) == (dict, {"a": 1})


@pytest.mark.parametrize(
    ("body", "form", "key"),
    [
        (b'{"x": [[1]]}', "x", ""),
        (b'{"x": "[[1]]", "orient": "values", "key": "mine"}', "x", "mine"),
        (b'{"data": {"a": [1]}, "model_key": "old"}', "data", "old"),
        (b'{"data": [1, 2], "model-key": 3}', "rows", "3"),
        (b'{"x": {"variables": [1]}, "key": null}', "x", ""),
    ],
)
def test_tables(body: bytes, form: str, key: str) -> None:
    """Rows, with the version that is asked."""
    found = TABLES.decode(body)
    assert isinstance(found, Table)
    assert (found.form, found.key) == (form, key)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", 'the body is empty; send {"variables": {...}}, {"x": [[...], ...]}'),
        (b"[1]", "the body is a list, not an object; send"),
        (b'{"rows": [1]}', "the body holds no variables; send"),
        (b'{"variables": [1]}', "variables[0] is a number, not an object"),
        (b' {"variables": 1, "a": 2}', "variables is a number, not an object; send"),
        (b'{"x": [[1]], "x": [[2]]}', 'duplicate key "x"'),
        (b'{"x": [{"a": 1, "a": 2}]}', 'duplicate key "a"'),
        (b'{"x": [[NaN]]}', "malformed JSON"),
        (b'{"x": ' + b"[" * 5000, "malformed JSON"),
        (b'{"x": [[1]]', "malformed JSON"),
        (b'\xef\xbb\xbf{"x": [[1]]}', "byte order mark"),
    ],
)
def test_bodies_that_are_malformed(body: bytes, message: str) -> None:
    """As for plain models, with what such a model takes."""
    with pytest.raises(MalformedBody) as caught:
        TABLES.decode(body)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "x", ["1", "null", '"text"', "[[1], [1, 2]]", '[[1], {"a": 1}]', "[[[1]]]"]
)
def test_what_is_no_table(x: str) -> None:
    """The body is sound, but holds no rows."""
    with pytest.raises(VariablesInvalid):
        TABLES.decode(f'{{"x": {x}}}'.encode())


def test_texts_with_colons_are_no_duplicate_keys() -> None:
    """JSON within JSON has keys of its own."""
    body = b'{"x": "{\\"a\\":{\\"0\\":1},\\"b\\":{\\"0\\":2}}", "orient": "columns"}'
    assert TABLES.decode(body) == {"a": [1], "b": [2]}


def test_answers() -> None:
    """They are written as those of plain models."""
    answer: Any = {"y": [1, None]}
    assert TABLES.encode(answer) == b'{"y":[1,null]}'
