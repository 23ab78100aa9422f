"""Connections are spread over the workers."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.fixtures.service import answers, serving, write_example, write_model
from tests.server.talking import connect, post, read_reply
from tests.waiting import until


def test_workers_get_about_as_many_connections_each(tmp_path: Path) -> None:
    """60 connections that come in one burst and stay: each of three workers holds about a third of
    them.
    """
    write_example(write_model(tmp_path / "models", "Model", answers(1)), {})
    with (
        serving(tmp_path, tmp_path / "models", MODELSYNC_WORKERS="3") as service,
        contextlib.ExitStack() as stack,
    ):
        for _ in range(3):  # the same after some have gone
            clients = [stack.enter_context(connect(service.port)) for _ in range(60)]
            for client in clients:
                client.sendall(post("/models/Model", b'{"variables": {}}'))
                assert read_reply(client.makefile("rb")).status == 200
            held = [
                sum(
                    one.status == "ESTABLISHED" and one.laddr.port == service.port
                    for one in worker.net_connections()
                )
                for worker in service.workers()
            ]
            assert sum(held) == 60
            assert min(held) >= 14, held
            stack.close()
            until(
                lambda: (
                    not any(
                        one.status == "ESTABLISHED" and one.laddr.port == service.port
                        for worker in service.workers()
                        for one in worker.net_connections()
                    )
                )
            )
