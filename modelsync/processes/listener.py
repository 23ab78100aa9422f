"""The public socket: the supervisor binds it, each generation accepts from it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from modelsync.errors import SettingsError
from modelsync.settings import Settings


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """The socket that all generations accept from. Raises SettingsError if it fails to bind."""
    host, port = settings.server.host, settings.server.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4][:2]
        listener = socket.create_server(
            address,
            family=family,
            backlog=2048,
            dualstack_ipv6=family == socket.AF_INET6 and host == "::",
        )
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}): "
            "set MODELSYNC_HOST or MODELSYNC_PORT"
        ) from None
    with listener:
        yield listener
