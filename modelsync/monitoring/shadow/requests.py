"""Predictions on their way from the workers to the process that copies them to the candidate.

A message is a line of JSON, and behind it the bytes of the body and of the answer:

    {"model", "target", "content_type", "authorization", "request_id", "status", "sizes": [2]}
    {"lost": {model: how many were not sent}}

They go through a Unix socket that only this user reaches, and are never on a disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from modelsync import json_text

HEADER = "X-Modelsync-Shadow"
"""The field of a copy: who gets it copies it to nobody, and samples it not."""

FIELD = HEADER.lower().encode()
"""Its name as a parsed request has it."""

FOLDER = Path("shadow")
"""The folder of shadow requests in the state directory, which only its owner may enter."""

SOCKET = FOLDER / "socket"

MAX_SIZE = 8 * 1024**2
"""Bytes of a body and its answer; larger ones are not copied."""

MAX_LINE = 256 * 1024
"""Bytes of the line of a message."""

LONGEST_PATH = 100
"""Bytes of the path of a Unix socket, of which macOS allows 103."""


@dataclass(frozen=True, slots=True)
class ShadowRequest:
    """A prediction, and the answer that its client has got.

    `target`: path and query as the client sent them. `authorization`: its field, empty where
    predictions need no token.
    """

    model: str
    target: str
    content_type: str
    authorization: str = field(repr=False)
    request_id: str
    status: int
    body: bytes = field(repr=False)
    answer: bytes = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of the body and the answer."""
        return len(self.body) + len(self.answer)


Lost = Mapping[str, int]
"""How many predictions of each model were not sent, for want of room."""


def pack(
    model: str,
    target: bytes,
    fields: Iterable[tuple[bytes, bytes]],
    request_id: bytes,
    body: bytes,
    status: int,
    answer: bytes,
    *,
    authorized: bool,
) -> bytes:
    """Return the message of a prediction; `authorized`: it needs the token in its `fields`."""
    content_type = authorization = b""
    for name, value in fields:
        if name == b"content-type":
            content_type = value
        elif name == b"authorization" and authorized:
            authorization = value
    line = {
        "model": model,
        "target": target.decode("latin-1"),
        "content_type": content_type.decode("latin-1"),
        "authorization": authorization.decode("latin-1"),
        "request_id": request_id.decode(),
        "status": status,
        "sizes": (len(body), len(answer)),
    }
    return b"".join((json_text.dumps(line), b"\n", body, answer))


def pack_lost(lost: Lost) -> bytes:
    """Return the message of how many were not sent."""
    return json_text.dumps({"lost": lost}) + b"\n"


def read(stream: BinaryIO) -> ShadowRequest | Lost | None:
    """Return the next message, None at the end. Raises OSError, and ValueError for anything else
    than a message.
    """
    line = stream.readline(MAX_LINE)
    if not line.endswith(b"\n"):
        return None
    found: dict[str, Any] = json_text.loads(line)
    if "lost" in found:
        return {str(model): int(count) for model, count in found["lost"].items()}
    sizes = found.pop("sizes")
    if sum(sizes) > MAX_SIZE:
        raise ValueError("a message that is too large")
    body, answer = (stream.read(size) for size in sizes)
    if (len(body), len(answer)) != tuple(sizes):  # its sender has ended in the middle
        return None
    return ShadowRequest(**found, body=body, answer=answer)


@contextmanager
def address(socket: Path) -> Iterator[str]:
    """Give the path of a socket in a form that is short enough to be used as an address.

    Raises OSError if its folder is missing.
    """
    if len(os.fsencode(socket)) <= LONGEST_PATH:
        yield str(socket)
        return
    folder = os.open(socket.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{socket.name}"
    finally:
        os.close(folder)
