"""What runners without orjson use in its place refuses and writes the same."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from typing import Any

import orjson
import pytest

from modelsync import plain_json

REFUSED = [
    b"", b" ", b"{", b"[1,]", b"{'a': 1}", b'{"a": NaN}', b"[Infinity]", b"[-Infinity]", b"1e999",
    b'"\xff"', b"\xef\xbb\xbf{}", b'"\\ud800"', b'["\\udc00x"]', b"01", b"+1", b".5", b"[1] 2",
    b'"\t"', b"nul", b'{"a" 1}', b"\xc3", b"[" * 100_000,
]  # fmt: skip

READ = [
    b"{}", b' { "a" : [ 1 , -0.5e3 , null , true ] } ', b'"\\u00e9\\ud83d\\ude00"', b"1.0", b"1e5",
    b"18446744073709551615", b"-9223372036854775808", b"18446744073709551616", b"1e-400",
    b"123456789012345678901234567890", '"\u00fc\u2028"'.encode(), b'{"a": 1, "a": 2}',
    b"-9223372036854775809", b"0.1",
]  # fmt: skip

WRITTEN: list[Any] = [
    {}, {"a": [1, 2.5, None, True, "\u00fc\"\\\n\x00\u2028"]}, (1, (2,)), float("nan"),
    {"x": [float("inf"), -float("inf")]}, 2**64 - 1, -(2**63), {"": {}}, [], 0.1, 1.0, 1e22,
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6), datetime.date(2026, 1, 2), datetime.time(1, 2),
    [uuid.UUID(int=5)], {"d": datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)},
    {"nested": [[{"k": float("nan")}]]},
]  # fmt: skip

UNWRITABLE: list[Any] = ["\ud800", {"a": object()}, {1, 2}, [{(1, 2): 3}]]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:20]))
def test_it_refuses_what_orjson_refuses(text: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(text)
    with pytest.raises(plain_json.JSONDecodeError):
        plain_json.loads(text)


@pytest.mark.parametrize("text", READ, ids=lambda text: repr(text[:20]))
def test_it_reads_what_orjson_reads(text: bytes) -> None:
    found = plain_json.loads(text)
    assert repr(found) == repr(orjson.loads(text))


@pytest.mark.parametrize("value", WRITTEN, ids=lambda value: repr(value)[:30])
def test_it_writes_what_orjson_writes(value: Any) -> None:
    assert plain_json.dumps(value) == orjson.dumps(value)


@pytest.mark.parametrize("value", UNWRITABLE, ids=["surrogate", "object", "set", "key"])
def test_it_refuses_to_write_what_orjson_refuses(value: Any) -> None:
    with pytest.raises(TypeError):
        plain_json.dumps(value)
    with pytest.raises(TypeError):
        orjson.dumps(value)


def test_fragments_and_defaults_are_written_as_they_are() -> None:
    assert plain_json.dumps([plain_json.Fragment("1.50")]) == b"[1.50]"
    assert plain_json.dumps({"a": {1}}, list) == b'{"a":[1]}'
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TypeError):
        plain_json.dumps(loop)


def test_dataclasses_are_left_to_the_codec() -> None:
    @dataclasses.dataclass
    class Point:
        x: int

    with pytest.raises(TypeError):
        plain_json.dumps(Point(1))
