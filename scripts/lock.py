"""The lock files: every library that is installed, with its hashes. `make lock` writes them.

`requirements.lock` is made from requirements.txt, `requirements-dev.lock` from that and
requirements-dev.txt, `requirements-slim.lock` from what pyproject.toml asks for the slim image; a
library has the same version in all of them. `airflow/requirements.lock` and
`tests/clients/requirements.lock` are of environments apart. Versions stay as they are locked unless
a pin changes; `make lock UPGRADE=1` takes the newest. A lock file begins with a digest of
what it was made from, so that `make check` finds a stale one without an index.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUN, DEV = "requirements.lock", "requirements-dev.lock"
SLIM = "requirements-slim.lock"
SLIM_EXTRAS = ("postgres",)
AIRFLOW = "airflow/requirements.lock"
CLIENTS = "tests/clients/requirements.lock"
INPUTS = {
    RUN: ["requirements.txt"],
    SLIM: ["pyproject.toml"],
    DEV: ["requirements.txt", "requirements-dev.txt"],
    AIRFLOW: ["airflow/requirements.txt"],
    CLIENTS: ["tests/clients/requirements.txt"],
}
PINNED_UV = "scripts/uv/pinned.txt"
OLDEST_PYTHON = "3.11"


def requirements(file: Path) -> Iterator[str]:
    """Yield the lines that ask for something, without comments; of pyproject.toml, what the slim
    image needs.
    """
    if file.suffix == ".toml":
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        yield from project["dependencies"]
        for extra in SLIM_EXTRAS:
            yield from project["optional-dependencies"][extra]
        return
    for line in file.read_text("utf-8").splitlines():
        if line := re.sub(r"(^|\s)#.*", "", line).strip():
            yield line


def digest(lock: str, root: Path = ROOT) -> str:
    """Give the SHA-256 of the requirements that a lock file is made from, in any order."""
    asked = sorted(line for name in INPUTS[lock] for line in requirements(root / name))
    return hashlib.sha256("\n".join(asked).encode()).hexdigest()


def header(lock: str, root: Path = ROOT) -> str:
    """Give the lines that a current lock file begins with."""
    made = f"# Made by `make lock` from {' and '.join(INPUTS[lock])}: do not edit.\n"
    return f"{made}# sha256 of these: {digest(lock, root)}\n"


def stale(root: Path = ROOT) -> list[str]:
    """List the lock files that were made from other requirements than there are now."""
    return [
        lock
        for lock in INPUTS
        if not (root / lock).read_text("utf-8").startswith(header(lock, root))
    ]


def write(upgrade: bool) -> None:
    """Resolve and write the lock files; a smaller one takes the larger one's versions."""
    for lock, options in (
        (DEV, []),
        (RUN, ["--constraint", DEV]),
        (SLIM, ["--constraint", RUN, *(f"--extra={extra}" for extra in SLIM_EXTRAS)]),
        (AIRFLOW, []),
        (CLIENTS, []),
    ):
        _compile(
            *INPUTS[lock],
            *options,
            f"--output-file={lock}",
            *(["--upgrade"] if upgrade else []),
        )
        file = ROOT / lock
        file.write_text(header(lock) + file.read_text("utf-8"), "utf-8")
    if upgrade:
        _compile("-", f"--output-file={PINNED_UV}", "--upgrade", asked="uv")


def _compile(*arguments: str, asked: str | None = None) -> None:
    options = ["--quiet", "--universal", f"--python-version={OLDEST_PYTHON}", "--generate-hashes"]
    plain = ["--no-header", "--no-annotate"]
    command = [sys.executable, "-m", "scripts.uv", "pip", "compile", *options, *plain, *arguments]
    subprocess.run(command, cwd=ROOT, input=asked, text=True, stdout=subprocess.DEVNULL, check=True)


def main(arguments: list[str]) -> int:
    """Write the lock files, or say which are stale."""
    if "--check" not in arguments:
        write(upgrade="--upgrade" in arguments)
        return 0
    for lock in (old := stale()):
        print(
            f"{lock} does not match {' and '.join(INPUTS[lock])}; run `make lock` and commit it",
            file=sys.stderr,
        )
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
