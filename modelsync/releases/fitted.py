"""The fitted versions that serve, on disk: written by the trainer, read by the processes that call
models. So predictions go on, also after a restart, while the store is away.

    home/fitted.json           for each trained model: versions, names, which one is current
    home/artifacts/<sha256>    what `fit` has returned; current versions, others as asked for
    home/run/fitted/<pid>      which versions a worker has taken over
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from modelsync.files import as_json, write_atomically
from modelsync.models.serialization import from_json, to_json
from modelsync.models.versions import FittedVersion, number_of


@dataclass(frozen=True, slots=True)
class ModelVersions:
    """The fitted versions of one model, by number; `current` is None if none is chosen.

    `names`: the numbers by key, name and label, that of the newest version for each.
    """

    current: int | None = None
    names: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[int, FittedVersion] = field(default_factory=dict)

    def find(self, name: str) -> FittedVersion | None:
        """Return the version with this label, key or name, else this number (3 or v3)."""
        if (number := self.names.get(name)) is None:
            number = number_of(name)
        return self.versions.get(number) if number is not None else None

    @property
    def candidates(self) -> tuple[FittedVersion, ...]:
        """The version that is current, then those before it that are on disk, newest first."""
        if (current := self.serving) is None:
            return ()
        earlier = sorted((one for one in self.versions if one < current.number), reverse=True)
        on_disk = [self.versions[one] for one in earlier if self.versions[one].file.is_file()]
        return (current, *on_disk)

    @property
    def serving(self) -> FittedVersion | None:
        """The version that is current."""
        return self.versions.get(self.current) if self.current else None


class FittedVersions:
    """The fitted versions of one state directory."""

    def __init__(self, home: Path) -> None:
        home = home.absolute()  # models load with their folder as the working directory
        self.artifacts = home / "artifacts"
        self._file = home / "fitted.json"
        self._acknowledged = home / "run" / "fitted"

    def file_of(self, sha256: str) -> Path:
        """Return where the artefact of this digest is, or would be."""
        return self.artifacts / sha256

    def stamp(self) -> tuple[int, int]:
        """Return a value that changes whenever the versions do; cheap enough to ask often."""
        try:
            found = self._file.stat()
        except OSError:
            return (0, 0)
        return found.st_ino, found.st_mtime_ns

    def read(self) -> dict[str, ModelVersions]:
        """Return the versions by model; a missing or damaged file has none."""
        return self.known() or {}

    def known(self) -> dict[str, ModelVersions] | None:
        """Return the versions by model; None if the file is missing or damaged."""
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            found = orjson.loads(self._file.read_bytes())
            return {name: self._parse(name, value) for name, value in found.items()}
        return None

    def write(self, models: Mapping[str, ModelVersions]) -> None:
        """Replace the versions of all models; those that are current must have their files.

        Raises OSError.
        """
        write_atomically(
            self._file,
            as_json(
                {
                    name: {
                        "current": one.current,
                        "names": dict(one.names),
                        "versions": [_facts(version) for version in one.versions.values()],
                    }
                    for name, one in models.items()
                }
            ),
        )

    def _parse(self, name: str, value: Mapping[str, object]) -> ModelVersions:
        versions = [
            from_json(FittedVersion, {**one, "model": name, "file": self.file_of(one["sha256"])})
            for one in value["versions"]  # type: ignore[attr-defined]
        ]
        return ModelVersions(
            value["current"],  # type: ignore[arg-type]
            value["names"],  # type: ignore[arg-type]
            {one.number: one for one in versions},
        )

    def serving(self) -> dict[str, FittedVersion]:
        """Return the current version of each model whose artefact is on this machine."""
        found = {name: model.serving for name, model in self.read().items()}
        return {name: one for name, one in found.items() if one and one.file.is_file()}

    # --- which worker has which version -----------------------------------------------------------

    def acknowledge(self, served: Mapping[str, int | None]) -> None:
        """Tell that this process calls these versions from now on, by model; not on a full disk."""
        with suppress(OSError):
            self._acknowledged.mkdir(parents=True, exist_ok=True)
            write_atomically(self._acknowledged / str(os.getpid()), as_json(dict(served)))

    def acknowledged_by(self, pid: int) -> dict[str, int | None]:
        """Return what a process has acknowledged, perhaps a dead one; else what a living one has:
        that of a runner's workers.
        """
        with suppress(OSError, ValueError):
            found: dict[str, int | None] = orjson.loads(
                (self._acknowledged / str(pid)).read_bytes()
            )
            return found
        return next(iter(self.acknowledged()), {})

    def acknowledged(self) -> list[dict[str, int | None]]:
        """Return what each living process has acknowledged; forgets the dead ones."""
        found = []
        with suppress(OSError):
            for file in self._acknowledged.iterdir():
                if not file.name.isdigit():  # it is being written
                    continue
                if not Path(f"/proc/{file.name}").exists() and Path("/proc/self").exists():
                    file.unlink(missing_ok=True)
                    continue
                with suppress(OSError, ValueError):
                    found.append(orjson.loads(file.read_bytes()))
        return found


def _facts(version: FittedVersion) -> dict[str, object]:
    facts = to_json(version)
    del facts["model"], facts["file"]
    return facts
