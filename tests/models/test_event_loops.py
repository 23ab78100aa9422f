"""asyncio in a plain `def`: as in the main thread of a script, wherever it is called."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, threading
from modelsync.models.isolation import patches
from modelsync.models.isolation.event_loops import hidden

patches.install()

async def double(x):
    await asyncio.sleep(0)
    return 2 * x

def by_run(x):
    return asyncio.run(double(x))

def by_loop(x):
    return asyncio.get_event_loop().run_until_complete(double(x))

def raises(x):
    raise ValueError(x)

async def served():
    running = asyncio.get_running_loop()
    for call in (by_run, by_loop, by_run, by_loop):
        assert hidden(call)(2) == 4
        assert asyncio.get_running_loop() is running
    try:
        hidden(raises)(2)
    except ValueError:
        assert asyncio.get_running_loop() is running

found = []
thread = threading.Thread(target=lambda: found.extend([by_loop(1), by_run(1), by_loop(1)]))
thread.start()
thread.join()
assert found == [2, 2, 2], found
asyncio.run(served())
print("all right")
"""


def test_a_plain_def_uses_asyncio_in_a_loop_and_in_any_thread() -> None:
    """`asyncio.run` and `get_event_loop`, one after the other too; the loop goes on."""
    found = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-c", PROGRAM],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (found.returncode, found.stdout) == (0, "all right\n"), found.stderr
