"""Who takes part: a peer is a folder here with `peer.toml` and `requirements.txt`; modelsync is in
`ours.py`.
"""

from __future__ import annotations

import shlex
import socket
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers import artefacts, environments
from bench.peers.shapes import MODELS, SHAPES, TOLERANCE, VARIABLES, Model, Shape

HERE = Path(__file__).parent
SHARED = HERE / "shared"


@dataclass(frozen=True, slots=True)
class Start:
    """What a server is started for. `work` is an empty folder of its own."""

    model: Model
    port: int
    workers: int
    work: Path


@dataclass(frozen=True, slots=True)
class Launch:
    """A server's command as it is run."""

    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True, slots=True)
class Contestant:
    """One server with its settings. `key` names it in the harness, `name` in the report.

    `tolerance`: the relative difference of a right number. `compiled`: whether modelsync must say
    that a compiled form answers, or that none does; None if that is not asked.
    """

    key: str
    name: str
    settings: str
    launch: Callable[[Start], Launch]
    shape: Shape
    paths: Mapping[Model, str]
    models: Sequence[Model] = MODELS
    headers: Mapping[str, str] = field(default_factory=dict)
    versions: Sequence[str] = ()
    command: str = ""
    scraped: bool = False
    tolerance: float = TOLERANCE
    compiled: bool | None = None

    @property
    def is_ours(self) -> bool:
        return self.key.startswith("modelsync")


def peers() -> list[Contestant]:
    """Every peer of this folder; one that cannot be installed fails when it is started."""
    return [_peer(path.parent) for path in sorted(HERE.glob("*/peer.toml"))]


def _peer(folder: Path) -> Contestant:
    told = tomllib.loads((folder / "peer.toml").read_text())
    key = folder.name

    def launch(start: Start) -> Launch:
        values = {
            "bin": str(environments.folder(key) / "bin"), "here": str(folder),
            "work": str(start.work),
            "port": str(start.port), "free_port": str(free_port()), "workers": str(start.workers),
            "model": start.model, "Model": start.model.capitalize(),
        }  # fmt: skip
        if "{artefacts}" in str(told):
            values["artefacts"] = str(artefacts.folder())

        def filled(
            text: str,
        ) -> str:  # not str.format: configuration files have braces of their own
            for name, value in values.items():
                text = text.replace(f"{{{name}}}", value)
            return text

        for name, content in told.get("files", {}).items():
            (start.work / name).write_text(filled(content))
        env = {
            "PYTHONPATH": f"{folder}:{SHARED}",
            **{name: filled(text) for name, text in told.get("env", {}).items()},
        }
        return Launch([filled(word) for word in shlex.split(told["start"])], env, start.work)

    return Contestant(
        key,
        told["name"],
        told["settings"],
        launch,
        SHAPES[told["shape"]],
        {model: told.get("path", "/{model}").replace("{model}", model) for model in VARIABLES},
        models=tuple(told.get("models", MODELS)),
        versions=tuple(told.get("versions", ())),
        command=told["start"],
        tolerance=told.get("tolerance", TOLERANCE),
    )


def free_port() -> int:
    """A port on which no process listens now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])
