"""A leash: the command that makes a child end when this process is killed."""

from __future__ import annotations

import subprocess
from functools import cache


@cache
def leash() -> tuple[str, ...]:
    """The words to put before a command, so that the kernel kills it with this process.

    Empty without util-linux. The children of the child are not on it.
    """
    words = ("setpriv", "--pdeathsig", "KILL")
    try:
        works = not subprocess.run(
            [*words, "true"], capture_output=True, check=False, timeout=10
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        works = False
    return words if works else ()
