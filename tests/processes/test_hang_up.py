"""What a SIGHUP does: it ends what a person has started in a terminal, and syncs elsewhere."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from tests.command import modelsync
from tests.fixtures.service import answers, serving, write_model
from tests.waiting import until

SERVE = [sys.executable, "-m", "modelsync", "serve", "--port", "0"]


def started_in_a_terminal(folder: Path, command: list[str]) -> tuple[int, int]:
    """Start a command as a terminal does; its process id, and the terminal, which is to be read."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ |= {"MODELSYNC_HOME": str(folder / "home"), "MODELSYNC_WORKERS": "1"}
        os.execv(command[0], command)
    return pid, terminal


def heard(terminal: int, text: bytes, seen: bytearray) -> bool:
    """Whether the command has written a text; it must be read, or the command waits."""
    os.set_blocking(terminal, False)
    with contextlib.suppress(BlockingIOError):
        while part := os.read(terminal, 65536):
            seen += part
    return text in seen


def has_ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == pid


def test_closing_the_terminal_ends_the_service(tmp_path: Path) -> None:
    """Nobody is left with a port that is taken by a service which he cannot see."""
    write_model(tmp_path / "models_serve", "Good", answers(1, "Good"))
    pid, terminal = started_in_a_terminal(tmp_path, SERVE)
    try:
        seen = bytearray()
        until(lambda: heard(terminal, b"POST http", seen), 60)
        done = modelsync("sync", cwd=tmp_path, MODELSYNC_HOME=str(tmp_path / "home"))
        assert "the running service has been signalled" in done.stdout
        os.kill(pid, signal.SIGHUP)  # the terminal is still there: a sync
        until(lambda: heard(terminal, b"sync: unchanged", seen), 30)
        os.close(terminal)
        until(lambda: has_ended(pid), 60, message="the service goes on")
    finally:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("sent", [signal.SIGHUP, signal.SIGUSR1])
def test_without_a_terminal_a_signal_asks_for_a_sync(tmp_path: Path, sent: signal.Signals) -> None:
    write_model(tmp_path / "models_serve", "Good", answers(1, "Good"))
    with serving(tmp_path, within=("setsid", "--wait"), MODELSYNC_WORKERS="1") as running:
        before = len(running.lines(event="sync"))
        pid = int((running.home / "run" / "supervisor.pid").read_text().split()[0])
        os.kill(pid, sent)
        until(lambda: len(running.lines(event="sync")) > before, 30)
        os.kill(pid, signal.SIGTERM)
        running.process.wait(60)
