"""Reads docker-compose.yml: as much of the Compose specification as our own file uses.

https://github.com/compose-spec/compose-spec/blob/main/spec.md; `tests/compose/` has Docker's own
loader read the same file.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dotenv
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"

_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-+])([^{}]*))?\})")
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class ComposeService:
    """One service. `volumes` gives the source (the name of a volume, or a path of this machine) of
    each path in its container; `depends_on` the condition on each service that must be met before
    it starts; `patience` the seconds that it has to become healthy; `stop` the signal that ends it.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    volumes: Mapping[str, str | Path]
    depends_on: Mapping[str, str]
    ports: Mapping[int, tuple[str, int]]
    health: tuple[str, ...]
    patience: float
    stop: signal.Signals

    @property
    def is_task(self) -> bool:
        """Whether it does something once and ends, before others start."""
        return not self.health


def variables(folder: Path = ROOT, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of docker-compose.yml: those of `.env`, over which the environment wins."""
    found = dict(environ)
    for name, value in dotenv.dotenv_values(folder / ".env", interpolate=False).items():
        found.setdefault(name, interpolated(value or "", found))
    return found


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:+instead}`, as the Compose specification has them;
    without a colon an empty variable counts as set.
    """

    def value(found: re.Match[str]) -> str:
        name, operator, alternative = found.groups()
        if name is None:
            return "$"
        given = values.get(name)
        is_set = bool(given) if operator and operator.startswith(":") else given is not None
        if operator and operator.endswith("+"):
            return alternative if is_set else ""
        return (given or "") if is_set else alternative or ""

    return _VARIABLE.sub(value, text)


def read(
    values: Mapping[str, str], file: Path = FILE, only: Collection[str] = ()
) -> dict[str, ComposeService]:
    """The services that `docker compose up` starts: those without a profile and with a replica;
    with `only` these of them.
    """
    described = _filled(yaml.safe_load(file.read_text("utf-8")), values)
    wanted = {
        name: service
        for name, service in described["services"].items()
        if not service.get("profiles")
        and int(service.get("scale", 1))
        and (not only or name in only)
    }
    return {name: _service(name, one, file.parent, wanted) for name, one in wanted.items()}


def _filled(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _filled(value, values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    return interpolated(node, values) if isinstance(node, str) else node


def _service(
    name: str, given: Mapping[str, Any], folder: Path, wanted: Mapping[str, Any]
) -> ComposeService:
    health = given.get("healthcheck", {})
    from_files = {
        key: value or ""
        for one in given.get("env_file", [])
        for key, value in dotenv.dotenv_values(folder / one["path"], interpolate=False).items()
    }
    return ComposeService(
        name=name,
        command=(*given.get("entrypoint", []), *given.get("command", [])),
        environment=from_files | given.get("environment", {}),
        volumes=dict(_volume(one, folder) for one in given.get("volumes", [])),
        depends_on={
            other: one["condition"]
            for other, one in given.get("depends_on", {}).items()
            if other in wanted
        },
        ports=dict(_port(one) for one in given.get("ports", [])),
        health=tuple(health.get("test", [])[1:]),
        patience=_seconds(health.get("start_period", "60s")) + 30,
        stop=signal.Signals[given.get("stop_signal", "SIGTERM")],
    )


def _volume(text: str, folder: Path) -> tuple[str, str | Path]:
    source, target = text.split(":")[:2]
    return target, (folder / source).resolve() if source.startswith((".", "/", "~")) else source


def _port(text: str) -> tuple[int, tuple[str, int]]:
    address, published, target = text.rsplit(":", 2)
    return int(target), (address, int(published))


def _seconds(text: str) -> float:
    return float(text[:-1]) * _UNITS[text[-1]]
