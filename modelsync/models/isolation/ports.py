"""Lets several processes listen on the same port for a model.

While a push is checked and rolled out, the old and the new version of a model run side by side. One
that listens on a port of its own choice, such as `prometheus_client.start_http_server(8000)`, could
not load beside the other: Linux gives each new connection to one of the processes.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

_bind = socket.socket.bind


def install() -> None:
    """Have `socket.bind` share TCP ports with other processes of the same user."""
    setattr(socket.socket, "bind", _shared)  # noqa: B010  mypy: a method is not assigned to


def _shared(self: socket.socket, address: Any, /) -> None:
    is_tcp = self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM
    if is_tcp and address[1:2] != (0,):
        with suppress(OSError, AttributeError):  # a system without it
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _bind(self, address)
