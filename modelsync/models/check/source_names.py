"""What the source of a model's folder names: hints on what its calls may do that no example shows.

A name in a comment counts as well; in doubt a model runs in a safer place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

EVENT_LOOPS = re.compile(
    r"\b(asyncio|nest_asyncio|anyio|aiohttp|asgiref|trio|uvloop|tornado|httpx|run_until_complete)\b"
)

PROCESSES = re.compile(
    r"\b(multiprocessing|ProcessPoolExecutor|subprocess|Popen|os\.fork\w*|os\.system|os\.spawn\w*"
    r"|os\.posix_spawn\w*|os\.kill\w*|pexpect|pty|loky|setrlimit|setitimer|signal\.alarm"
    r"|signal\.signal|(?:joblib|from joblib import.*)\bParallel)\b"
)

PATCHES = re.compile(
    r"\bsetattr\(|\bpatch|\b(?!self\b|cls\b)[A-Za-z_]\w*(?:\.\w+)*\.[A-Za-z_]\w*\s*=[^=]"
)
"""An assignment to an attribute of something else than `self`, or a call that may make one."""


def _sources(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.py")):
        with suppress(OSError):
            yield path.read_text("utf-8", "replace")


def source_names(folder: Path) -> tuple[bool, str, bool]:
    """Return whether the source names event loops, which name of processes or signals it has (empty
    if none), and whether it may replace functions of other modules.
    """
    loops, processes, patches = False, "", False
    for text in _sources(folder):
        loops = loops or EVENT_LOOPS.search(text) is not None
        patches = patches or PATCHES.search(text) is not None
        if not processes and (found := PROCESSES.search(text)):
            processes = found[0].split()[-1]
    return loops, processes, patches
