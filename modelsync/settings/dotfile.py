"""The file `.env`: settings for a directory; variables of the environment win."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from modelsync.errors import SettingsError
from modelsync.settings.definition import PREFIX
from modelsync.settings.environments import OLDER_PASSWORD
from modelsync.settings.groups import entries

CLOSE = 0.8
"""How similar (difflib's ratio) a name must be to a setting's to count as misspelt: gitpasswd is,
DATABASE_URL (to baseUrl) is not.
"""


def load_file(path: Path = Path(".env"), environ: MutableMapping[str, str] | None = None) -> None:
    """Add the file's variables to the environment; do nothing if there is no file.

    Values are taken as they are: a password may hold ${...}. Raises SettingsError if the file
    cannot be read, with the line, or if a name looks like a misspelt setting.
    """
    target = os.environ if environ is None else environ
    try:
        with path.open(encoding="utf-8") as file:
            found = list(parse_stream(file))
    except (FileNotFoundError, IsADirectoryError):  # a virtual environment may be called .env
        return
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        ) from None
    if problems := [*_unreadable(path, found), *_misspelt(path, found)]:
        raise SettingsError("; ".join(problems))
    values = {
        one.key: one.value for one in found if one.key and one.value is not None
    }  # of two lines the last one
    target.update({name: value for name, value in values.items() if name not in target})


def _unreadable(path: Path, found: list[Binding]) -> Iterator[str]:
    for one in found:
        if one.error:  # its text may be half a password
            yield f"{path} line {_line(one)} is not of the form NAME=value"


def _misspelt(path: Path, found: list[Binding]) -> Iterator[str]:
    """Names without our prefix that resemble those of settings.

    Unknown names with the prefix are left to `load`, which refuses them.
    """
    known = {
        entry.name.lower(): entry.name for entry in entries() if not entry.name.startswith(PREFIX)
    }
    for one in found:
        known_name = one.key in known.values() or one.key == OLDER_PASSWORD
        if one.key and not known_name and not one.key.startswith(PREFIX):
            for near in difflib.get_close_matches(one.key.lower(), known, n=1, cutoff=CLOSE):
                yield (
                    f"{path} line {_line(one)}: {one.key} is not a setting "
                    f"(did you mean {known[near]}?); if a model needs it, set it in the environment"
                )


def _line(one: Binding) -> int:
    text: str = one.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return int(one.original.line) + blank.count("\n")
