"""What makes two heads the same; that they are then answered the same is tested in
tests/server/test_head_cache.py.
"""

from __future__ import annotations

import pytest

from modelsync.server.head_key import MAX_FIELDS, MAX_SIZE, head_key

HEAD = (
    b"POST /models/A HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 7\r\n"
    b"%b\r\n"
)
KEY = b"POST /models/A HTTP/1.1\r\nHost: a\r\nContent-Type: application/json"


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"X-Real-IP: 10.0.0.9\r\n",
        b"traceparent: 00-1-2-01\r\ntracestate: a=b\r\n",
        b"User-Agent: \xc3\xa9\r\nX-A:\r\n",
    ],
)
def test_fields_that_decide_nothing_do_not_count(fields: bytes) -> None:
    assert head_key(HEAD % fields) == (KEY, 7, b"")


@pytest.mark.parametrize(
    "field", [b"Host: b", b"authorization: Bearer x", b"CONTENT-ENCODING: gzip", b"Expect: x"]
)
def test_fields_that_decide_are_part_of_the_key(field: bytes) -> None:
    assert head_key(HEAD % (field + b"\r\n")) == (KEY + b"\r\n" + field, 7, b"")


@pytest.mark.parametrize(
    ("given", "kept"), [(b"a-1.b_2", b"a-1.b_2"), (b"a b", b""), (b"x" * 129, b""), (b"", b"")]
)
def test_the_request_id_is_the_clients_where_it_is_a_decent_one(given: bytes, kept: bytes) -> None:
    assert head_key(HEAD % b"X-Request-ID: %b \r\n" % given) == (KEY, 7, kept)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /models/A HTTP/1.1\r\nHost: a\r\n\r\n",
        HEAD % b"Content-Length: 7\r\n",
        HEAD % b"Transfer Encoding: chunked\r\n",
        HEAD % b": no name\r\n",
        HEAD % b" folded: yes\r\n",
        HEAD % b"X-A: a\0\r\n",
        HEAD % b"X-A: a\nX-B: b\r\n",
        HEAD % b"X-A: a\rX-B: b\r\n",
        HEAD % b"X-Request-ID: a\r\nX-Request-ID: b\r\n",
        HEAD.replace(b": 7", b": 7, 7") % b"",
        HEAD % (b"X-A: b\r\n" * MAX_FIELDS),
        HEAD % (b"X-A: %b\r\n" % (b"b" * MAX_SIZE)),
    ],
)
def test_what_is_not_plain_is_for_the_parser(head: bytes) -> None:
    assert head_key(head) is None
