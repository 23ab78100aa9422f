"""A head like one that has been seen before is answered without the parser: nobody may be able to
tell.

The parser's answer is had by sending a probe in front of the request, in the same bytes.
"""

from __future__ import annotations

import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fixtures.service import Service
from tests.server.talking import connect, everything, post, read_reply, replies

PROBE = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
BODY = b'{"variables": {"seconds": 0.01}}'  # so that Slow stays in threads
NEW_ID = re.compile(rb"\b[0-9a-f]{24}([0-9a-f]{8})?\b")
PASSING = (
    "date",
    "connection",
)  # which says `close` where the answer comes after the client's end has
BYTES = b"\0\t\n\r :,Aa0\x7f\x80\xff"
PROXIED = (
    "X-Request-ID: first",
    "X-Forwarded-For: 10.0.0.1, 10.0.0.2",
    "traceparent: 00-0af7-b7ad-01",
    "Accept: */*",
)

TARGETS = (
    "/models/Echo",
    "/models/Echo?a=b",
    "http://a/models/Echo",
    "/models/%45cho",
    "/models/all",
)
FIELDS = (
    "X-Request-ID: a1", "x-request-id:\tb2 ", "X-Request-ID: not an id",
    "X-Forwarded-For: 10.0.0.1", "Cookie: a=b",
    "Connection: keep-alive", "Connection: close", "Connection: upgrade", "Upgrade: h2c",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: close", "Content-Encoding: identity", "Content-Encoding: gzip",
    "Authorization: Bearer x",
    "TE: trailers", "Trailer: X", "Transfer-Encoding: chunked", "Transfer-Encoding: identity",
    "Content-Length: 5",
    f"content-length: {len(BODY)}", "Content_Length: 3", "Transfer_Encoding: chunked", "Host: b",
    "Host:", "X-Empty:",
    "X-Latin: \xe9\xff", "Content-Type: text/plain",
    "Content-Type: application/json; charset=utf-8",
    "Expect: 100-continue", "Expect: more", " folded: x", "X : y", ": y", "X: y\rZ: w",
    "X: y\nContent-Length: 9",
)  # fmt: skip


def heard(port: int, sent: bytes) -> list[tuple[int, bytes, list[tuple[str, bytes]]]]:
    """What the server says to `sent`, but for what is new each time."""
    with connect(port) as sock:
        sock.sendall(sent)
        sock.shutdown(1)
        found = replies(everything(sock))
    return [
        (
            reply.status,
            NEW_ID.sub(b"ID", reply.body),
            [
                (name, NEW_ID.sub(b"ID", value.encode()))
                for name, value in sorted(reply.headers.items())
                if name not in PASSING
            ],
        )
        for reply in found
    ]


def known(service: Service, *requests: bytes) -> None:
    """Send each often enough for the server to know its head."""
    for request in requests:
        with connect(service.port) as sock:
            stream = sock.makefile("rb")
            for _ in range(4):
                sock.sendall(request)
                read_reply(stream)


def assert_same(service: Service, request: bytes) -> None:
    """The request alone and behind a probe: the same is heard of it."""
    alone = heard(service.port, request)
    _, *behind = heard(service.port, PROBE + request)
    assert alone == behind, request


@pytest.mark.parametrize("model", ["Echo", "Slow", "Large", "Missing"])
@pytest.mark.parametrize(
    "change",
    [
        ("X-Request-ID: first", "X-Request-ID: second"),
        ("X-Request-ID: first", "X-Request-ID: not an id"),
        ("X-Request-ID: first", "X-Request-ID:"),
        ("X-Request-ID: first", "X-Request-ID: second\r\nX-Request-ID: third"),
        ("10.0.0.1", "2001:db8::1"),
        ("traceparent: 00-0af7-b7ad-01\r\n", ""),
        ("traceparent", "trace parent"),
        ("traceparent:", "traceparent :"),
        ("Accept: */*", "Accept: */*\r\n folded"),
        ("Accept: */*", "Accept: */*\r\n" + "\r\n".join(f"X-{number}: y" for number in range(99))),
        ("Accept: */*", "Accept: " + "x" * 5000),
        ("Accept: */*", "Connection: close"),
        ("Accept: */*", "Connection: upgrade\r\nUpgrade: websocket"),
        ("Accept: */*", "Content-Encoding: gzip"),
        ("Accept: */*", "Expect: 100-continue"),
        ("Accept: */*", "Expect: the worst"),
        ("Accept: */*", "Transfer-Encoding: chunked"),
        ("Accept: */*", f"Content-Length: {len(BODY)}"),
        ("Accept: */*", "Host: b"),
        ("Accept: */*", "Authorization: Bearer nobody"),
        ("Host: a\r\n", ""),
        ("application/json", "text/csv"),
        ("Content-Type: application/json\r\n", ""),
        (f"Content-Length: {len(BODY)}", "Content-Length: 99999999999"),
        (f"Content-Length: {len(BODY)}", f"Content-Length: +{len(BODY)}"),
        (f"Content-Length: {len(BODY)}", f"Content-Length: 0{len(BODY)}"),
        (f"Content-Length: {len(BODY)}", f"content-length:{len(BODY)}\t "),
        (f"Content-Length: {len(BODY)}", f"Content-Length: {len(BODY)}, {len(BODY)}"),
        (f"Content-Length: {len(BODY)}\r\n", ""),
        ("HTTP/1.1", "HTTP/1.0"),
        ("POST", "PUT"),
        (" HTTP/1.1", "?a=b HTTP/1.1"),
    ],
    ids=lambda change: change[1][:30].split("\r\n")[0] or f"no {change[0][:12]}",
)
def test_a_head_that_resembles_a_known_one(
    service: Service, model: str, change: tuple[str, str]
) -> None:
    """It is answered as the parser and the rules have it, also when it comes again and again."""
    request = post(f"/models/{model}", BODY, *PROXIED)
    known(service, request)
    changed = request.replace(change[0].encode(), change[1].encode(), 1)
    assert changed != request
    for _ in range(3):
        assert_same(service, changed)


def test_any_other_byte_in_a_known_head(service: Service) -> None:
    """The parser's answer comes for each byte of a head replaced by one that HTTP knows."""
    request = post("/models/Echo", BODY, *PROXIED)
    known(service, request)
    end = request.index(b"\r\n\r\n") + 4
    changed = (
        request[:place] + bytes([byte]) + request[place + 1 :]
        for place in range(end)
        for byte in BYTES
    )
    with ThreadPoolExecutor(4) as pool:
        assert sum(
            1 for _ in pool.map(lambda one: assert_same(service, one), changed)
        ) == end * len(BYTES)


def test_any_fields_in_any_order(service: Service) -> None:
    """Up to four of those that mean something in HTTP, at random places, and a request behind: the
    same is heard.
    """
    rng = random.Random(20261120)
    for _ in range(300):
        fields = ["Host: a", "Content-Type: application/json", f"Content-Length: {len(BODY)}"]
        fields += rng.choices(FIELDS, k=rng.randint(1, 4))
        if rng.random() < 0.5:
            rng.shuffle(fields)
        target = rng.choice(TARGETS)
        request = "\r\n".join([f"POST {target} HTTP/1.1", *fields, "", ""]).encode("latin-1") + BODY
        for behind in (b"", b"", b"", PROBE, request):  # the first ones make it known
            assert_same(service, request + behind)


def test_a_client_that_wants_its_connection_closed_gets_that(service: Service) -> None:
    """`Connection: close` in a head that is otherwise known."""
    request = post("/models/Echo", BODY, *PROXIED)
    known(service, request)
    with connect(service.port) as sock:
        sock.sendall(request.replace(b"Accept: */*", b"Connection: close"))
        [reply] = replies(everything(sock))
    assert reply.headers["connection"] == "close"


def test_each_request_keeps_its_own_id_and_length(service: Service) -> None:
    """As behind a proxy that gives each request an id: bodies of any length, through one
    connection.
    """
    with connect(service.port) as sock:
        stream = sock.makefile("rb")
        for turn in range(200):
            number = 7 ** (turn % 20)
            sock.sendall(
                post(
                    "/models/Echo", b'{"variables": {"a": %d}}' % number, f"X-Request-ID: id-{turn}"
                )
            )
            reply = read_reply(stream)
            assert reply.body == b'{"a":%d}' % number
            assert reply.headers["x-request-id"] == f"id-{turn}"


def test_other_routes_see_every_field(service: Service) -> None:
    """A webhook that comes again and again keeps its signature and its event: only predictions take
    the short way.
    """
    request = post("/models/sync", b"{}", "X-GitHub-Event: push", "X-Hub-Signature-256: sha256=0")
    known(service, request)
    assert_same(service, request)
