"""A module of this package that runs as a child of the supervisor, and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process

from modelsync.orphans import Children


async def start(children: Children, module: str, *arguments: str) -> Process:
    """Start a module in a session of its own. Raises OSError.

    It is told who its parent is: `--parent=PID`.
    """
    with children.starting():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, f"--parent={os.getpid()}", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        children.add(process.pid)
    return process


async def wait(children: Children, process: Process, grace: float, *, alone: bool = False) -> int:
    """Wait for the end of a child; return its exit code.

    If this is cancelled, the child gets SIGTERM, and after `grace` seconds is killed, with all that
    it has started in its session unless `alone`.
    """
    try:
        return await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace)
        if process.returncode is None:
            if alone:
                process.kill()
            else:
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        raise
    finally:
        children.forget(process.pid)
