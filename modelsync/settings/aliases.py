"""Aliases: further URLs for calls of models, such as those that clients of an older server know."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

Action = Literal["predict", "train", "status", "download"]


@dataclass(frozen=True, slots=True)
class Alias:
    """A path, with a slash at its start and none at its end, for an action of a model.

    The path may be the slash alone.
    """

    path: str
    model: str
    action: Action


_PATH = re.compile(r"/|(/[A-Za-z0-9._~-]+)+")


def parse_aliases(raw: str) -> tuple[Alias, ...]:
    """Aliases as in `/train=Iris:train,/serve=Iris:predict`."""
    found: dict[str, Alias] = {}
    for part in raw.split(","):
        if not part.strip():
            continue
        path, equals, target = part.strip().partition("=")
        model, _, action = target.strip().rpartition(":")
        path, model, action = path.strip(), model.strip(), action.strip()
        path = path.rstrip("/") or path
        if not equals or not model or not _PATH.fullmatch(path):
            raise ValueError("must be a list such as /train=Iris:train,/serve=Iris:predict")
        if action not in get_args(Action):
            actions = ", ".join(get_args(Action))
            raise ValueError(f"has {action or 'no action'} for {path}; it must be one of {actions}")
        if path in found:
            raise ValueError(f"has {path} twice")
        found[path] = Alias(path, model, action)  # type: ignore[arg-type]
    return tuple(found.values())
