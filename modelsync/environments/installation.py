"""Resolves one set of requirements, and installs it into a new environment."""

from __future__ import annotations

import hashlib
import logging
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.environments import bytecode, interpreters
from modelsync.environments.command import CommandFailed, run
from modelsync.environments.meter import Meter
from modelsync.environments.requirements import REQUIREMENTS, Requirements, find
from modelsync.environments.resolutions import Resolution
from modelsync.environments.uv import Uv
from modelsync.errors import ModelBroken, SyncTimeout
from modelsync.files import storage
from modelsync.models.types import Fault

INSTALLED, PINS = "modelsync-install.txt", "modelsync-pins.txt"
"""The files, beside the requirements, with the lines that are installed, and without options."""

OF_RUNNERS = {"orjson": "orjson", "pydantic": "pydantic>=2"}
"""What a runner is faster with, and works without: installed where it fits, after all else."""

_OPTIONS = re.compile(
    r"-[if]\b|--(?:index-url|extra-index-url|find-links|no-index|no-binary|only-binary|pre"
    r"|prefer-binary|trusted-host)\b"
)
"""What else decides from where, and in which form, a package is taken."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Installation:
    """One set of requirements, as it is resolved and installed. Its files are in `folder`.

    `known`: it was resolved before, so uv's cache may hold all of it. With `offline` no index is
    asked.
    """

    requirements: Requirements
    folder: Path
    uv: Uv
    deadline: Deadline
    known: bool
    offline: bool

    def resolve(self) -> Resolution:
        """Resolve the set. Raises CommandFailed, SyncTimeout, ModelBroken."""
        wanted = self.requirements
        python = interpreters.choose(wanted.python, wanted.python_file, self.uv, self.deadline)
        if wanted.kind == "lock":
            packages = self._exported(python)
        elif wanted.is_hashed:
            packages = [line.text for line in wanted.asked()]
        else:
            packages = self._compiled(python)
        return Resolution(
            _id(packages, wanted, python), packages, python.path, python.version, self.uv.settings
        )

    def _compiled(self, python: interpreters.Interpreter) -> list[str]:
        """Return all packages that the requirements come to, as pins."""
        text = self._run(
            "pip", "compile", REQUIREMENTS, "--python", python.path, "--no-header", "--no-annotate"
        )
        return text.splitlines()

    def _exported(self, python: interpreters.Interpreter) -> list[str]:
        """Return the packages of a uv.lock that its project needs, as pins with digests."""
        text = self._run(
            "export", "--locked", "--no-emit-project", "--no-default-groups", "--no-header",
            "--no-annotate", "--python", python.path,
        )  # fmt: skip
        files = {**self.requirements.files, REQUIREMENTS: text.encode()}
        found = find(lambda name: {name: files[name]} if name in files else {})
        if isinstance(found, Fault):  # it names a folder beside this one, for instance
            raise ModelBroken(Fault("environment", found.message, self.requirements.main))
        return [line.text for line in found.asked()] if found else []

    def install(self, resolution: Resolution, path: Path, meter: Meter) -> None:
        """Make the environment in a folder. Raises CommandFailed, SyncTimeout, TooLarge."""
        self._run("venv", "--relocatable", "--no-project", "--python", resolution.python, str(path))
        options = [line.text for line in self.requirements.lines() if _OPTIONS.match(line.text)]
        with storage():
            lines = [*options, *resolution.packages, ""]
            (self.folder / INSTALLED).write_text("\n".join(lines), "utf-8")
        hashed = "--require-hashes" if self.requirements.is_hashed else "--no-deps"
        self._pip(path, meter, "--requirement", INSTALLED, hashed)
        self._add_for_runners(resolution, path, meter)
        meter.check()

    def compile(self, path: Path, store: Path) -> None:
        """Give the files of an environment their bytecode; it works without, more slowly."""
        command = bytecode.command(path / "bin" / "python", store, path / "lib")
        try:
            run(command, environ=self.uv.environ, folder=self.folder, deadline=self.deadline)
        except (CommandFailed, SyncTimeout) as error:
            _log.debug("an environment has no bytecode: %s", error)

    def _add_for_runners(self, resolution: Resolution, path: Path, meter: Meter) -> None:
        """Install what runners are faster with, if it fits beside the set; else leave it."""
        present = {_name(line) for line in resolution.packages}
        wanted = [line for name, line in OF_RUNNERS.items() if name not in present]
        pins = (line.partition(" --hash")[0] for line in resolution.packages if "==" in line)
        with storage():
            (self.folder / PINS).write_text("\n".join(pins), "utf-8")
        try:
            if wanted:
                self._pip(path, meter, *wanted, "--constraint", PINS)
        except CommandFailed as error:
            _log.debug("environment %s is without %s: %s", resolution.id, wanted, error)

    def _pip(self, path: Path, meter: Meter, *arguments: str) -> None:
        """Install; of a set that is known, from uv's cache, unless that lacks something."""
        python = ["--python", str(path / "bin" / "python"), "--link-mode", "hardlink"]
        install = partial(self._run, "pip", "install", *python, *arguments, meter=meter)
        if self.known:
            with suppress(CommandFailed):
                install(offline=True)
                return
        install()

    def _run(self, *arguments: str, offline: bool = False, meter: Meter | None = None) -> str:
        return self.uv.run(
            *arguments,
            "--quiet",
            folder=self.folder,
            deadline=self.deadline,
            offline=offline or self.offline,
            watch=meter.watch if meter else lambda: None,
        )


def key_of(requirements: Requirements) -> str:
    """Name what a set is resolved to: the set itself, the service's Python, the platform."""
    return _digest([requirements.digest, interpreters.own().version, *_platform()])


def _id(
    packages: Sequence[str], requirements: Requirements, python: interpreters.Interpreter
) -> str:
    """Name an environment by all that decides its content."""
    local = (
        f"{name} {hashlib.sha256(content).hexdigest()}"
        for name, content in sorted(requirements.local_files().items())
    )
    return _digest([*packages, *local, python.version, *_platform()])


def _platform() -> tuple[str, ...]:
    return (platform.system(), platform.machine(), *platform.libc_ver())


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _name(line: str) -> str:
    """Return the name of the package that a pin is of."""
    return line.partition("==")[0].partition("@")[0].partition("[")[0].strip().lower()
