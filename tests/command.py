"""The command `modelsync`, run as a program runs it and as a person does."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.waiting import patient


def modelsync(
    *arguments: str, cwd: Path, stdin: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder with no settings but the given ones."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MODELSYNC_", "git", "baseUrl"))
    }
    return subprocess.run(
        [sys.executable, "-m", "modelsync", *arguments],
        cwd=cwd, env={**clean, **environ}, input=stdin, capture_output=True,
        text=True, timeout=patient(100),
    )  # fmt: skip


def seen_by_a_person(*arguments: str, cwd: Path, **environ: str) -> str:
    """Run the command on a pseudo-terminal and return what a person would see, escape sequences
    included. NO_COLOR counts only if it is given.
    """
    coloured = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    master, slave = pty.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, master)
        subprocess.run(
            [sys.executable, "-m", "modelsync", *arguments],
            cwd=cwd, env={**coloured, "TERM": "xterm-256color", **environ},
            stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, timeout=patient(100),
        )  # fmt: skip
        os.close(slave)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: all has been read
            while part := os.read(master, 65536):
                seen += part
    return seen.decode().replace("\r\n", "\n")
