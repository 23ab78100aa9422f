"""The public socket: which addresses it answers at."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests

from modelsync import settings
from modelsync.server.listener import address, listening
from tests.fixtures.service import answers, serving, write_model

both = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this system has no IPv6")


@both
def test_all_addresses_are_of_both_families(tmp_path: Path) -> None:
    """With `::` a service answers at IPv4 and at IPv6, and says so in its log."""
    write_model(tmp_path / "models", "Echo", answers(7))
    with serving(tmp_path, tmp_path / "models", MODELSYNC_HOST="::") as service:
        assert service.url.startswith("http://[::]:")
        for host in ("127.0.0.1", "[::1]"):
            url = f"http://{host}:{service.port}/models/Echo"
            assert requests.post(url, json={"variables": {}}, timeout=30).json() == {"value": 7}


def test_all_addresses_are_of_ipv4_where_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """`::` is no error on a system without IPv6."""
    monkeypatch.setattr("modelsync.server.listener.socket.has_dualstack_ipv6", lambda: False)
    with listening(settings.load({"MODELSYNC_HOST": "::", "MODELSYNC_PORT": "0"})) as found:
        assert address(found).startswith("0.0.0.0:")


@both
def test_addresses_of_ipv6_have_brackets() -> None:
    """An address is told as a URL has it."""
    with listening(settings.load({"MODELSYNC_HOST": "::1", "MODELSYNC_PORT": "0"})) as found:
        assert address(found) == f"[::1]:{found.getsockname()[1]}"
