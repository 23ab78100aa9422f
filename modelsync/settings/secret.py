"""Secrets, which `repr` does not show."""

from __future__ import annotations

from pathlib import Path

from modelsync.errors import SettingsError


class Secret:
    """A secret given as a value or as a file; a file is read at each use, so a rotated one needs no
    restart.
    """

    __slots__ = ("_file", "_value")

    def __init__(self, value: str = "", file: Path | None = None) -> None:
        self._value = value
        self._file = file

    def read(self) -> str:
        """The secret without surrounding white space; empty if none is set.

        Raises SettingsError if the file cannot be read.
        """
        if self._file is None:
            return self._value
        try:
            return self._file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"cannot read the secret file {self._file}: {type(error).__name__}"
            ) from None

    def __bool__(self) -> bool:
        return bool(self._value or self._file)

    def __repr__(self) -> str:
        return "Secret(***)" if self else "Secret()"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self._value, self._file) == (
            other._value,
            other._file,
        )

    def __hash__(self) -> int:
        return hash((self._value, self._file))
