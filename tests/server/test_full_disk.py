"""A log that cannot be written costs its lines, nothing else."""

from __future__ import annotations

import resource
from functools import partial
from pathlib import Path

from tests.fixtures.service import serving, write_model
from tests.server.conftest import MODELS
from tests.server.talking import connect, post, read_reply
from tests.waiting import until


def test_requests_are_answered_while_the_log_cannot_be_written(tmp_path: Path) -> None:
    """Thousands of them, and the worker's clock goes on; afterwards it logs again."""
    write_model(tmp_path / "models", "Echo", MODELS["Echo"])
    with (
        serving(tmp_path, tmp_path / "models", MODELSYNC_WORKERS="1") as service,
        connect(service.port) as sock,
    ):
        stream = sock.makefile("rb")

        def date() -> str:
            sock.sendall(post("/models/Echo"))
            return read_reply(stream).headers["date"]

        def differs(before: str) -> bool:
            return date() != before

        [worker] = service.workers()
        _, hard = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (1, hard))
        for _ in range(2000):
            date()
        for _ in range(2):
            before = date()
            until(partial(differs, before))
        resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (hard, hard))
        sock.sendall(post("/models/Echo", b"{}", "X-Request-ID: after"))
        read_reply(stream)
        until(lambda: service.lines(request_id="after"))
