"""Runs uv. The exit code is 69 if no uv is available; the caller then uses pip."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from shutil import which

from modelsync.environments.pip_configuration import PipConfigError, arguments_for_uv, for_uv
from scripts.uv.download import NoUv, download

OLDEST = (0, 11)
"""The oldest release of uv that is taken from PATH: those before it know no UV_SYSTEM_CERTS."""
UNAVAILABLE = 69
"""EX_UNAVAILABLE of sysexits.h."""


def main(arguments: list[str]) -> int:
    """Replace this process with uv; returns only if there is none."""
    try:
        program = installed(os.environ) or download(os.environ)
        environ = for_uv(os.environ)
        os.execve(program, [str(program), *arguments_for_uv(arguments, os.environ)], environ)
    except (NoUv, PipConfigError, OSError) as error:
        reason = str(error)
    except (HTTPException, ValueError) as error:
        # Of a malformed address or answer. Its text may quote the address, with a password.
        reason = f"an address or answer is malformed ({type(error).__name__})"
    print(f"modelsync: cannot get uv: {reason}", file=sys.stderr)
    return UNAVAILABLE


def installed(environ: Mapping[str, str]) -> Path | None:
    """Find a uv on PATH that is not older than `OLDEST`."""
    program = which("uv", path=environ.get("PATH"))
    if program is None:
        return None
    try:  # pyenv's stand-in, for instance, fails where uv belongs to another Python
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.match(r"uv (\d+)\.(\d+)", said)
    return Path(program) if found and tuple(map(int, found.groups())) >= OLDEST else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
