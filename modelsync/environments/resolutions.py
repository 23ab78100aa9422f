"""What sets of requirements have been resolved to, kept so that one is resolved only once."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from modelsync.files import as_json, storage, write_atomically

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a set of requirements has been resolved to.

    `id`: of the environment. `packages`: the lines that are installed. `python`: the path of the
    interpreter, `version` its name and version. `settings`: the digest of uv's configuration.
    """

    id: str
    packages: list[str]
    python: str
    version: str
    settings: str


class Resolutions:
    """The resolutions in a folder, one file each.

    `shared`: a folder of the same form that several services share, so that they serve the same
    versions. `prepared`: one that is only read.
    """

    def __init__(self, folder: Path, shared: Path | None, prepared: Path | None) -> None:
        self._folder = folder
        self._shared = shared
        self._prepared = prepared

    def find(self, key: str, settings: str) -> Resolution | None:
        """Return what a set has been resolved to, by uv with these settings; None if unknown.

        Of a prepared one the settings do not count: it was made where another index was.
        """
        for folder in filter(None, (self._folder, self._shared)):
            if (known := _read(folder / key)) and known.settings == settings:
                return known
        return _read(self._prepared / key) if self._prepared else None

    def keep(self, key: str, resolution: Resolution) -> None:
        """Keep what a set has been resolved to. Raises StorageFailed."""
        content = as_json(asdict(resolution))
        with storage():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._folder / key, content)
        if self._shared:
            try:
                self._shared.mkdir(parents=True, exist_ok=True)
                write_atomically(self._shared / key, content)
            except OSError as error:
                _log.warning("the shared cache cannot be updated: %s", error.strerror)


def _read(file: Path) -> Resolution | None:
    try:
        return Resolution(**json.loads(file.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        _log.warning("a resolution cannot be read: %s", type(error).__name__)
        return None
