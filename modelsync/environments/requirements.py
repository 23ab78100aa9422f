"""The requirements of a model folder: the files that decide its environment, and what they name.

`requirements.txt`, or `pyproject.toml` with `uv.lock` beside it. Files that these name (`-r`, `-c`,
wheels) belong to them, and must lie beside or below them.
"""

from __future__ import annotations

import codecs
import hashlib
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from modelsync.errors import ModelBroken
from modelsync.models.types import Fault

REQUIREMENTS = "requirements.txt"
PROJECT = "pyproject.toml"
LOCK = "uv.lock"
PYTHON_VERSION = ".python-version"
NAMES = frozenset({REQUIREMENTS, PROJECT})
"""The names that show that a folder may have requirements."""

Reader = Callable[[str], Mapping[str, bytes]]
"""Gives the file at a path that is relative to the requirements, or all files below it if it is a
folder; by path, empty if there is none.
"""

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
        return any("--hash" in line.text for line in self.lines())

    def lines(self) -> Iterator[Line]:
        """Yield the lines of all files with requirements, those of `requirements.txt` first."""
        if self.kind == "requirements":
            seen: set[str] = set()
            yield from _lines_of(self.files, REQUIREMENTS, seen)

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


class Line(NamedTuple):
    """A line of a file with requirements, without its comment; `number` counts from 1."""

    file: str
    number: int
    text: str


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
    if REQUIREMENTS in (first := read(REQUIREMENTS)):
        files = dict(first)
        _collect(read, files, REQUIREMENTS, set())
        lines = list(_lines_of(files, REQUIREMENTS, set()))
        is_empty = not any(map(_asks, lines))
        python = ("", "") if is_empty else _python(read)
        return Requirements(files, "requirements", *python, is_empty=is_empty)
    project = read(PROJECT).get(PROJECT)
    lock = read(LOCK).get(LOCK) if project is not None else None
    if project is None or lock is None:
        return None
    asked = _project(project).get("dependencies")
    files = {PROJECT: project, LOCK: lock}
    return Requirements(files, "lock", *_python(read), is_empty=not asked)


def _asks(line: Line) -> bool:
    """Tell whether a line asks for a package, and is not merely an option or a constraint."""
    return not line.text.startswith("-")


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
        raise _broken(f"cannot be read: {error}", PROJECT) from None
    return project if isinstance(project, dict) else {}


# --- the lines of requirements.txt ----------------------------------------------------------------

_FILE = re.compile(r"(?:-r|-c|--requirements?|--constraints?)(?:\s+|=|(?=[^\s=-]))(.+)")
_FOLDER = re.compile(r"(?:-f|--find-links)(?:\s+|=)(\S+)")
_EDITABLE = re.compile(r"(?:-e|--editable)\b")
_CODE = "code beside etls.py is found by `import` without it; or commit a wheel"
_OWN = re.compile(r"\.{1,2}/?$|[^\s]*/|.*\.(?:whl|tar\.gz|tgz|tar\.bz2|zip)$")


def _collect(read: Reader, files: dict[str, bytes], file: str, seen: set[str]) -> None:
    """Add the files that the lines of `file` name. Raises ModelBroken where one is refused."""
    seen.add(file)
    for line in _split(file, _text(files, file)):
        if _EDITABLE.match(line.text):
            raise _refused(line, "an editable package is not installed", _CODE)
        if named := _FILE.fullmatch(line.text):
            if "://" not in named[1]:
                inner = _inside(line, posixpath.join(posixpath.dirname(file), named[1].strip()))
                if inner not in seen:
                    files.update(_existing(read, line, inner))
                    _collect(read, files, inner, seen)
        elif named := _FOLDER.match(line.text):
            if "://" not in named[1]:
                files.update(_existing(read, line, _inside(line, named[1])))
        elif path := _path(line):
            inner = _inside(line, path)
            if inner not in (found := _existing(read, line, inner)):
                raise _refused(line, f"{path} is a folder, and only files are installed", _CODE)
            files.update(found)


def _path(line: Line) -> str:
    """Return the path of a file that a line installs; empty if it names a package or a URL."""
    text = re.split(r"\s+;|\s+--", line.text)[0].strip()
    name, sign, place = text.partition("@")
    if sign and re.fullmatch(r"[\w.-]+\s*(\[[^]]*\])?\s*", name):
        text = place.strip()
    text = re.sub(r"\[[^]]*\]$", "", text)
    if text.startswith("file:"):
        advice = "write its name and version; `pip list --format=freeze` prints them so"
        raise _refused(line, "names a file of one machine", advice)
    if "://" in text or re.match(r"\w+\+", text) or not _OWN.match(text):
        return ""
    return text


def _inside(line: Line, path: str) -> str:
    """Return a path in its shortest form. Raises ModelBroken if it leads out of the folder."""
    inner = posixpath.normpath(path)
    if inner.startswith(("/", "~", "../")) or inner == "..":
        advice = "all that a folder needs must be in it: copy the file, and name it from there"
        raise _refused(line, f"{path} lies outside of the folder", advice)
    return inner


def _existing(read: Reader, line: Line, path: str) -> Mapping[str, bytes]:
    if not (found := read(path)):
        raise _refused(line, f"{path} does not exist", "commit it, or remove the line")
    return found


def _lines_of(files: Mapping[str, bytes], file: str, seen: set[str]) -> Iterator[Line]:
    """Yield the lines of a file, each file that it names after the line that does so."""
    seen.add(file)
    for line in _split(file, _text(files, file)):
        yield line
        if (named := _FILE.fullmatch(line.text)) and "://" not in named[1]:
            inner = posixpath.normpath(posixpath.join(posixpath.dirname(file), named[1].strip()))
            if inner in files and inner not in seen:
                yield from _lines_of(files, inner, seen)


def _split(file: str, text: str) -> Iterator[Line]:
    """Yield the lines that say something; a backslash at the end joins a line and the next."""
    parts: list[str] = []
    begin = 1
    for number, raw in enumerate(text.splitlines(), 1):
        if not parts:
            begin = number
        body = re.sub(r"(^|\s)#.*", "", raw).strip()
        parts.append(body.removesuffix("\\").strip())
        if body.endswith("\\"):
            continue
        if said := " ".join(filter(None, parts)):
            yield Line(file, begin, said)
        parts = []
    if said := " ".join(filter(None, parts)):
        yield Line(file, begin, said)


def _text(files: Mapping[str, bytes], file: str) -> str:
    """Decode a file: UTF-8, or UTF-16 as PowerShell's `>` writes it. Raises ModelBroken."""
    content = files[file]
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise _broken("is not UTF-8", file, hint="save it as UTF-8") from None


def _refused(line: Line, reason: str, hint: str) -> ModelBroken:
    return _broken(reason, line.file, line.number, hint)


def _broken(reason: str, file: str, line: int | None = None, hint: str = "") -> ModelBroken:
    return ModelBroken(Fault("environment", reason, file, line, hint or None))
