"""The requirements of a model folder: the files that decide its environment, and what they name.

`requirements.txt`, or `pyproject.toml` with `uv.lock` beside it. Files that these name (`-r`, `-c`,
wheels) belong to them, and must lie beside or below them.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from modelsync.environments.requirement_lines import (
    Line,
    Reader,
    asks,
    broken,
    collect,
    existing,
    inside,
    lines_of,
    text_of,
)
from modelsync.errors import ModelBroken
from modelsync.models.types import Fault

REQUIREMENTS = "requirements.txt"
PROJECT = "pyproject.toml"
LOCK = "uv.lock"
PYTHON_VERSION = ".python-version"
NAMES = frozenset({REQUIREMENTS, PROJECT})
"""The names that show that a folder may have requirements."""

_LOCKED_FILE = re.compile(r'^source = \{ path = "([^"]+)"')
"""A wheel or an archive of the project's folder, in a uv.lock."""

Kind = Literal["requirements", "lock"]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What an environment is made from.

    `files`: the content of each file that takes part, by relative path. `kind`: whether these are
    requirements to be resolved, or a uv.lock. `python`: the version of Python that is asked for,
    as `python_file` has it; empty for that of the service. `is_empty`: nothing is asked for, so the
    folder is served with the libraries of the service.
    """

    files: Mapping[str, bytes]
    kind: Kind = "requirements"
    python: str = ""
    python_file: str = ""
    is_empty: bool = False
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", self._digest())

    @property
    def main(self) -> str:
        """The file that the requirements begin with."""
        return REQUIREMENTS if self.kind == "requirements" else LOCK

    @property
    def is_hashed(self) -> bool:
        """Whether the lines name the digests of what they ask for, which are then verified."""
        return any("--hash" in line.text for line in self.asked())

    def asked(self) -> Iterator[Line]:
        """Yield the lines that ask for a package, and are not merely options or constraints."""
        return (line for line in self.lines() if asks(line))

    def lines(self) -> Iterator[Line]:
        """Yield the lines of all files with requirements, those of `requirements.txt` first."""
        if self.kind == "requirements":
            seen: set[str] = set()
            yield from lines_of(self.files, REQUIREMENTS, seen)

    def write(self, folder: Path) -> None:
        """Write the files below a folder. Raises OSError."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def local_files(self) -> dict[str, bytes]:
        """Return the files that are installed themselves: wheels and archives."""
        texts = {line.file for line in self.lines()} | {REQUIREMENTS, PROJECT, LOCK}
        return {name: content for name, content in self.files.items() if name not in texts}

    def _digest(self) -> str:
        """Digest what is asked for; comments and empty lines do not count."""
        said = [self.kind, self.python, *(f"{line.file} {line.text}" for line in self.lines())]
        digest = hashlib.sha256("\n".join(said).encode("utf-8", "surrogateescape"))
        read = {line.file for line in self.lines()}
        for name, content in sorted(self.files.items()):
            if name not in read and name != REQUIREMENTS:
                digest.update(f"\n{name} {hashlib.sha256(content).hexdigest()}".encode())
        return digest.hexdigest()


Found = Requirements | Fault | None


def find(read: Reader) -> Found:
    """Return the requirements that a reader gives, the fault of invalid ones, None without any."""
    try:
        return _find(read)
    except ModelBroken as error:
        return fault_of(error)


def fault_of(error: ModelBroken) -> Fault:
    """Return the fault that an error carries."""
    return error.fault if isinstance(error.fault, Fault) else Fault("environment", str(error))


def below(folder: Path) -> Reader:
    """Return the reader of the files below a folder; links that lead out of it are not followed."""
    root = folder.resolve()

    def read(name: str) -> dict[str, bytes]:
        path = root / name
        if not path.resolve().is_relative_to(root):
            return {}
        if path.is_file():
            return {name: path.read_bytes()}
        files = (file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
        return {str(file.relative_to(root)): file.read_bytes() for file in files}

    return read


def _find(read: Reader) -> Requirements | None:
    """Return the requirements that a reader gives. Raises ModelBroken if they are invalid."""
    if REQUIREMENTS in (first := read(REQUIREMENTS)):
        files = dict(first)
        collect(read, files, REQUIREMENTS, set())
        lines = list(lines_of(files, REQUIREMENTS, set()))
        is_empty = not any(map(asks, lines))
        python = ("", "") if is_empty else _python(read)
        return Requirements(files, "requirements", *python, is_empty=is_empty)
    project = read(PROJECT).get(PROJECT)
    lock = read(LOCK).get(LOCK) if project is not None else None
    if project is None or lock is None:
        return None
    asked = _project(project).get("dependencies")
    files = {PROJECT: project, LOCK: lock}
    for number, text in enumerate(text_of(files, LOCK).splitlines(), 1):
        if named := _LOCKED_FILE.search(text):
            line = Line(LOCK, number, text)
            files.update(existing(read, line, inside(line, named[1])))
    return Requirements(files, "lock", *_python(read), is_empty=not asked)


# --- Python ---------------------------------------------------------------------------------------


def _python(read: Reader) -> tuple[str, str]:
    """Return the Python that is asked for, and the file that does so; two empty texts without."""
    content = read(PYTHON_VERSION).get(PYTHON_VERSION, b"").decode("utf-8", "replace")
    for line in content.splitlines():
        if version := line.partition("#")[0].strip():
            return version, PYTHON_VERSION
    project = read(PROJECT).get(PROJECT)
    required = _project(project).get("requires-python") if project is not None else None
    return (required.strip(), PROJECT) if isinstance(required, str) else ("", "")


def _project(content: bytes) -> dict[str, Any]:
    """Return the table `project` of a `pyproject.toml`. Raises ModelBroken if it is malformed."""
    try:
        project = tomllib.loads(content.decode()).get("project")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise broken(f"cannot be read: {error}", PROJECT) from None
    return project if isinstance(project, dict) else {}
