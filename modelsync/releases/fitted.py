"""The fitted versions that serve, on disk: written by the trainer, read by the processes that call
models. So predictions go on, also after a restart, while the store is away.

    home/fitted.json           for each trained model: versions, names, which one is current
    home/artifacts/<sha256>    what `fit` has returned; current versions, others as asked for
    home/run/fitted/<pid>      which versions a worker has taken over
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from modelsync.files import as_json, write_atomically
from modelsync.models.serialization import from_json, to_json
from modelsync.models.versions import FittedVersion, number_of

EARLIER = 20
"""Versions before the current one that may serve in its place."""


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
        del earlier[EARLIER:]
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

    def _parse(self, name: str, value: Mapping[str, Any]) -> ModelVersions:
        facts = {
            one["number"]: {**one, "model": name, "file": self.file_of(one["sha256"])}
            for one in value["versions"]
        }
        return ModelVersions(value["current"], value["names"], _LazyVersions(facts))

    def serving(self) -> dict[str, FittedVersion]:
        """Return the current version of each model whose artefact is on this machine."""
        found = {name: model.serving for name, model in self.read().items()}
        return {name: one for name, one in found.items() if one and one.file.is_file()}

    # --- which worker has which version -----------------------------------------------------------

    def acknowledge(
        self, served: Mapping[str, int | None], refused: Mapping[str, int] = MappingProxyType({})
    ) -> None:
        """Tell that this process calls these versions from now on, by model, and which of those
        that are current it cannot load; not on a full disk.
        """
        with suppress(OSError):
            self._acknowledged.mkdir(parents=True, exist_ok=True)
            told = {"serves": dict(served), "refused": dict(refused)}
            write_atomically(self._acknowledged / str(os.getpid()), as_json(told))

    def acknowledged_by(self, pid: int) -> dict[str, int | None]:
        """Return what a process has acknowledged, perhaps a dead one; else what a living one has:
        that of a runner's workers.
        """
        with suppress(OSError, ValueError, KeyError):
            told = orjson.loads((self._acknowledged / str(pid)).read_bytes())
            found: dict[str, int | None] = told["serves"]
            return found
        return next(iter(self.acknowledged()), {})

    def acknowledged(self) -> list[dict[str, int | None]]:
        """Return which versions each living process calls."""
        return [told["serves"] for told in self._told()]

    def heard(self, model: str, current: int | None) -> bool:
        """Whether each living process that has the model calls its current version, or knows that
        it cannot load it.
        """
        told = [one for one in self._told() if model in one["serves"]]
        return all(current in (one["serves"][model], one["refused"].get(model, -1)) for one in told)

    def _told(self) -> list[dict[str, Any]]:
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
                    told = orjson.loads(file.read_bytes())
                    if "serves" in told:
                        found.append(told)
        return found


class _LazyVersions(Mapping[int, FittedVersion]):
    """Versions that are made of their JSON when they are asked for.

    Whoever calls models reads all of them at each change and asks for one: a thousand versions of
    thirty columns would hold up all predictions for a second.
    """

    def __init__(self, facts: Mapping[int, Mapping[str, Any]]) -> None:
        self._facts = facts
        self._made: dict[int, FittedVersion] = {}

    def __getitem__(self, number: int) -> FittedVersion:
        if number not in self._made:
            self._made[number] = from_json(FittedVersion, self._facts[number])
        return self._made[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)


def _facts(version: FittedVersion) -> dict[str, object]:
    facts = to_json(version)
    del facts["model"], facts["file"]
    return facts
