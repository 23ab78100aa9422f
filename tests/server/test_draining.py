"""A worker that is told to end answers what has been asked."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from tests.fixtures.service import serving, write_model
from tests.server.conftest import MODELS
from tests.server.talking import connect, everything, post, read_reply, replies
from tests.waiting import patient, until


def test_a_pipeline_is_answered_to_its_end(tmp_path: Path) -> None:
    """Three requests are in work when the service is told to end: three answers, the last one says
    `close`.
    """
    write_model(tmp_path / "models", "Slow", MODELS["Slow"])
    with (
        serving(tmp_path, tmp_path / "models", MODELSYNC_WORKERS="1") as service,
        connect(service.port) as sock,
    ):
        sock.sendall(
            b"".join(
                post("/models/Slow", b'{"variables": {"seconds": %d}}' % patient(n))
                for n in (3, 1, 2)
            )
        )
        until(
            lambda: 'modelsync_requests_in_flight{model="Slow"} 3.0' in service.get("/metrics").text
        )
        service.process.terminate()
        found = replies(everything(sock))
        assert [(reply.status, reply.headers.get("connection")) for reply in found] == [
            (200, None),
            (200, None),
            (200, "close"),
        ]
        until(lambda: len(service.lines(message="POST /models/Slow 200")) == 3)


def test_requests_that_come_together_while_it_drains(tmp_path: Path) -> None:
    """The first is answered and ends the connection; the second has not been looked at, and nothing
    fails.
    """
    write_model(tmp_path / "models", "Slow", MODELS["Slow"])
    probe = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    with (
        serving(tmp_path, tmp_path / "models", MODELSYNC_WORKERS="1") as service,
        ExitStack() as stack,
    ):
        last, *others = [stack.enter_context(connect(service.port)) for _ in range(100)]
        for sock in (last, *others):  # so that each has been accepted
            sock.sendall(probe)
            read_reply(sock.makefile("rb"))
        service.process.terminate()

        def draining() -> bool:
            sock = others.pop()
            sock.sendall(probe)
            return read_reply(sock.makefile("rb")).headers.get("connection") == "close"

        until(draining)
        last.sendall(probe * 2)
        [reply] = replies(everything(last))
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        service.process.wait(patient(60))
        assert not service.lines(logger="asyncio")
