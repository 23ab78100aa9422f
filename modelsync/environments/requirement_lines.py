"""The lines of a file with requirements, as pip and uv read them, and the files that they name."""

from __future__ import annotations

import codecs
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from modelsync.errors import ModelBroken
from modelsync.models.types import Fault

Reader = Callable[[str], Mapping[str, bytes]]
"""Gives the file at a path that is relative to the requirements, or all files below it if it is a
folder; by path, empty if there is none.
"""


_FILE = re.compile(r"(?:-r|-c|--requirements?|--constraints?)(?:\s+|=|(?=[^\s=-]))(.+)")
_FOLDER = re.compile(r"(?:-f|--find-links)(?:\s+|=)(\S+)")
_EDITABLE = re.compile(r"(?:-e|--editable)\b")
_CODE = "code beside etls.py is found by `import` without it; or commit a wheel"
_OWN = re.compile(r"\.{1,2}/?$|[^\s]*/|.*\.(?:whl|tar\.gz|tgz|tar\.bz2|zip)$")


class Line(NamedTuple):
    """A line of a file with requirements, without its comment; `number` counts from 1.

    `constrains`: it only says which version is taken if the package is needed (`-c`).
    """

    file: str
    number: int
    text: str
    constrains: bool = False


def asks(line: Line) -> bool:
    """Return whether a line asks for a package, and is no option or constraint."""
    return not line.constrains and not line.text.startswith("-")


def collect(read: Reader, files: dict[str, bytes], file: str, seen: set[str]) -> None:
    """Add the files that the lines of `file` name. Raises ModelBroken where one is refused."""
    seen.add(file)
    for line in _split(file, text_of(files, file)):
        if _EDITABLE.match(line.text):
            raise _refused(line, "an editable package is not installed", _CODE)
        if named := _FILE.fullmatch(line.text):
            if "://" not in named[1]:
                inner = inside(line, posixpath.join(posixpath.dirname(file), named[1].strip()))
                if inner not in seen:
                    files.update(existing(read, line, inner))
                    collect(read, files, inner, seen)
        elif named := _FOLDER.match(line.text):
            if "://" not in named[1]:
                files.update(existing(read, line, inside(line, named[1])))
        elif path := _path(line):
            inner = inside(line, path)
            if inner not in (found := existing(read, line, inner)):
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


def inside(line: Line, path: str) -> str:
    """Return a path in its shortest form. Raises ModelBroken if it leads out of the folder."""
    inner = posixpath.normpath(path)
    if inner.startswith(("/", "~", "../")) or inner == "..":
        advice = "all that a folder needs must be in it: copy the file, and name it from there"
        raise _refused(line, f"{path} lies outside of the folder", advice)
    return inner


def existing(read: Reader, line: Line, path: str) -> Mapping[str, bytes]:
    """Return the files at a path that a line names. Raises ModelBroken if there are none."""
    if not (found := read(path)):
        raise _refused(line, f"{path} does not exist", "commit it, or remove the line")
    return found


def lines_of(files: Mapping[str, bytes], file: str, seen: set[str]) -> Iterator[Line]:
    """Yield the lines of a file, each file that it names after the line that does so."""
    seen.add(file)
    for line in _split(file, text_of(files, file)):
        yield line
        if (named := _FILE.fullmatch(line.text)) and "://" not in named[1]:
            inner = posixpath.normpath(posixpath.join(posixpath.dirname(file), named[1].strip()))
            if inner in files and inner not in seen:
                found = lines_of(files, inner, seen)
                constrains = line.constrains or line.text.startswith(("-c", "--c"))
                yield from (item._replace(constrains=constrains) for item in found)


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


def text_of(files: Mapping[str, bytes], file: str) -> str:
    """Decode a file: UTF-8, or UTF-16 as PowerShell's `>` writes it. Raises ModelBroken."""
    content = files[file]
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        raise broken("is not UTF-8", file, hint="save it as UTF-8") from None


def _refused(line: Line, reason: str, hint: str) -> ModelBroken:
    return broken(reason, line.file, line.number, hint)


def broken(reason: str, file: str, line: int | None = None, hint: str = "") -> ModelBroken:
    """Return the error of a file that cannot be used."""
    return ModelBroken(Fault("environment", reason, file, line, hint or None))
