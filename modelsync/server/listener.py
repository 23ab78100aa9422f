"""The public socket: the supervisor binds it, each generation accepts from it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from modelsync.errors import SettingsError
from modelsync.settings import Settings

RETRY = 0.05
"""Seconds between two attempts to bind."""


@contextmanager
def listening(settings: Settings, patience: float = 0.0) -> Iterator[socket.socket]:
    """The socket that all generations accept from.

    Waits `patience` seconds for a process that still has the port. Raises SettingsError if it fails
    to bind.
    """
    host, port = settings.server.host, settings.server.port
    end = monotonic() + patience
    try:
        while (listener := _bind(host, port, last=monotonic() >= end)) is None:
            sleep(RETRY)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}): "
            "set MODELSYNC_HOST or MODELSYNC_PORT"
        ) from None
    with listener:
        yield listener


def address(listener: socket.socket) -> str:
    """Return where a socket listens, as a URL has it."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(host: str, port: int, *, last: bool) -> socket.socket | None:
    """Return a socket, None if the port is taken. Raises OSError; if `last`, for that too.

    `::` is all addresses, of IPv4 too, and of IPv4 alone where the system has no IPv6.
    """
    if host == "::" and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"  # noqa: S104 - as asked
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, where = found[0][0], found[0][4][:2]
    try:
        return socket.create_server(
            where,
            family=family,
            backlog=2048,
            dualstack_ipv6=family == socket.AF_INET6 and host == "::",
        )
    except OSError as error:
        if last or error.errno != errno.EADDRINUSE:
            raise
        return None
