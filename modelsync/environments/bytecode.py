"""The bytecode of environments: compiled once for each content of a file, and linked into each.

Python would write it at the first import, into each environment again, or never if it may not.

As a program, `PYTHON -I bytecode.py STORE FOLDER` compiles what is below a folder. It runs in the
Python of the environment, and uses the standard library alone.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import py_compile
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path

SKIPPED = frozenset({"__pycache__", "test", "tests"})
"""Folders whose files a model hardly ever imports."""

AT_ONCE = 200
"""Files that a process compiles at once; fewer are not worth another process."""


def command(python: Path, store: Path, folder: Path) -> list[str]:
    """Return the command that compiles what is below a folder, and keeps it in a store."""
    return [str(python), "-I", __file__, str(store), str(folder)]


def main(store: Path, folder: Path) -> None:
    """Give each file below a folder its bytecode; compile what the store does not have."""
    store = store / str(sys.implementation.cache_tag)
    store.mkdir(parents=True, exist_ok=True)
    missing = [(file, kept) for file, kept in _files(store, folder) if not _link(file, kept)]
    parts = [missing[at : at + AT_ONCE] for at in range(0, len(missing), AT_ONCE)]
    if len(parts) > 1:
        with concurrent.futures.ProcessPoolExecutor() as pool:
            list(pool.map(_compile, parts))
    elif parts:
        _compile(parts[0])
    for file, kept in missing:
        _link(file, kept)


def _files(store: Path, folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each file with code, and the place of its bytecode in the store: by its content."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in names:
            if name.endswith(".py"):
                file = Path(root, name)
                yield file, store / f"{hashlib.sha256(file.read_bytes()).hexdigest()}.pyc"


def _link(file: Path, kept: Path) -> bool:
    """Give a file its bytecode from the store; False if that does not have it."""
    target = Path(cache_from_source(str(file)))
    target.parent.mkdir(exist_ok=True)
    try:
        os.link(kept, target)
    except FileExistsError:  # from the wheel
        return True
    except FileNotFoundError:
        return False
    except OSError:  # another file system
        shutil.copyfile(kept, target)
    return True


def _compile(files: list[tuple[Path, Path]]) -> None:
    """Compile files into the store; what is not valid Python, such as a template, is left out."""
    for file, kept in files:
        with suppress(OSError, ValueError, py_compile.PyCompileError, RecursionError):
            # Unchecked: these files are never changed. Python puts the real path into it.
            unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
            py_compile.compile(
                str(file), str(kept), file.name, doraise=True, invalidation_mode=unchecked
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
