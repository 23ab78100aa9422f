"""Raw bytes to the service and back."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from typing import BinaryIO

from tests.waiting import patient

BODY = b'{"variables": {"a": 1}}'


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes


def connect(port: int, timeout: float = 30) -> socket.socket:
    """A client that waits for `timeout` seconds at most, with room for a slow machine."""
    return socket.create_connection(("127.0.0.1", port), patient(timeout))


def everything(sock: socket.socket) -> bytes:
    """All the server sends until it ends the connection; TimeoutError where it does not."""
    found = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while chunk := sock.recv(1 << 16):
            found += chunk
    return bytes(found)


def replies(raw: bytes, *, bodiless: bool = False) -> list[Reply]:
    """The replies in a stream, 100 Continue left out."""
    found = []
    while raw:
        head, separator, raw = raw.partition(b"\r\n\r\n")
        assert separator, f"an answer without an end: {head!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        assert first.startswith("HTTP/1.1 "), first
        status = int(first[9:12])
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = 0 if status == 100 or bodiless else int(headers["content-length"])
        assert len(raw) >= length, "a body that was cut off"
        if status != 100:
            found.append(Reply(status, headers, raw[:length]))
        raw = raw[length:]
    return found


def post(path: str, body: bytes = BODY, *fields: str) -> bytes:
    """A prediction as bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: a", "Content-Type: application/json", *fields]
    if not any(
        field.lower().startswith(("content-length", "transfer-encoding")) for field in fields
    ):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def read_reply(stream: BinaryIO) -> Reply:
    """The next reply on a connection that stays open; `stream` is `sock.makefile("rb")`."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        assert line, f"closed after {head!r}"
        head += line
    length = next(
        int(line[15:])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    [reply] = replies(head + stream.read(length))
    return reply
