"""Every setting: name, default, meaning. The only package that reads the environment.

A setting is one field in `service.py` or `source.py`; `env.example`, the tables in the README and
the chart are generated from it (`make generated`). Four names are those of existing installations
(`baseUrl`, `gitPath`, `usergit`, `gitpassword`); all others start with `MODELSYNC_`.
"""

from __future__ import annotations

from modelsync.settings.canary import Canary
from modelsync.settings.compilation import CompileSettings, Compiling
from modelsync.settings.dotfile import load_file
from modelsync.settings.environments import (
    child_environment,
    git_environment,
    hand_down,
    hide_secrets,
    secret_names,
    user_cache,
)
from modelsync.settings.groups import GROUPS, Entry, Settings, entries
from modelsync.settings.loader import load
from modelsync.settings.revision import NO_REVISION, Revision
from modelsync.settings.secret import Secret
from modelsync.settings.selection import EVERY_MODEL, ModelSelection
from modelsync.settings.service import Access, AccessLogged, Logs, ServerSettings, State
from modelsync.settings.source import EnvironmentSettings, Git, Rollout, Sync

__all__ = [
    "EVERY_MODEL",
    "GROUPS",
    "NO_REVISION",
    "Access",
    "AccessLogged",
    "Canary",
    "CompileSettings",
    "Compiling",
    "Entry",
    "EnvironmentSettings",
    "Git",
    "Logs",
    "ModelSelection",
    "Revision",
    "Rollout",
    "Secret",
    "ServerSettings",
    "Settings",
    "State",
    "Sync",
    "child_environment",
    "entries",
    "git_environment",
    "hand_down",
    "hide_secrets",
    "load",
    "load_file",
    "secret_names",
    "user_cache",
]
