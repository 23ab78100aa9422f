"""All groups of settings, and the list of all settings for documentation and generated files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from typing import Any

from modelsync.settings.canary import Canary
from modelsync.settings.compilation import CompileSettings
from modelsync.settings.definition import PREFIX
from modelsync.settings.service import Access, Logs, ServerSettings, State
from modelsync.settings.shadow import ShadowSettings
from modelsync.settings.source import EnvironmentSettings, Git, Rollout, Sync
from modelsync.settings.training import Continuous, StoreSettings, Training


@dataclass(frozen=True, slots=True)
class Settings:
    """All groups. `load` reads them; no other code reads the environment."""

    server: ServerSettings = field(default_factory=ServerSettings)
    git: Git = field(default_factory=Git)
    sync: Sync = field(default_factory=Sync)
    environments: EnvironmentSettings = field(default_factory=EnvironmentSettings)
    compile: CompileSettings = field(default_factory=CompileSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    training: Training = field(default_factory=Training)
    continuous: Continuous = field(default_factory=Continuous)
    shadow: ShadowSettings = field(default_factory=ShadowSettings)
    access: Access = field(default_factory=Access)
    state: State = field(default_factory=State)
    rollout: Rollout = field(default_factory=Rollout)
    canary: Canary = field(default_factory=Canary)
    logs: Logs = field(default_factory=Logs)

    @property
    def standalone(self) -> bool:
        """Whether a local folder is served instead of a repository."""
        return not self.git.path


GROUPS: dict[str, type[Any]] = {
    "server": ServerSettings, "git": Git, "sync": Sync, "environments": EnvironmentSettings,
    "compile": CompileSettings,
    "store": StoreSettings, "training": Training, "continuous": Continuous,
    "shadow": ShadowSettings, "access": Access, "state": State, "rollout": Rollout,
    "canary": Canary, "logs": Logs,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One setting as documentation and generated files show it."""

    group: str
    name: str
    default: str
    doc: str
    secret: bool


def entries() -> Iterator[Entry]:
    """Every setting in order of definition, secrets followed by their `_FILE` twin."""
    for group, kind in GROUPS.items():
        for item in fields(kind):
            secret = bool(item.metadata.get("secret"))
            shown = item.metadata.get("shown")
            default = (
                shown
                if shown is not None
                else ""
                if secret or item.default is None
                else str(item.default)
            )
            yield Entry(group, item.metadata["name"], default, item.metadata["doc"], secret)
            if twin := file_twin(item):
                yield Entry(
                    group,
                    twin,
                    "",
                    f"file that holds {item.metadata['name']}; read again at each use",
                    False,
                )


def file_twin(item: Field[Any]) -> str | None:
    """The name of a secret's `_FILE` variable; `gitpassword` has a setting of its own for it."""
    name: str = item.metadata["name"]
    return f"{name}_FILE" if item.metadata.get("secret") and name.startswith(PREFIX) else None
