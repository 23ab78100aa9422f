"""How a setting is defined: one field of a group, made by `setting` or by `secret`.

The field holds all that is known of the setting: the name of its variable, its default, its parser,
and its meaning, from which `env.example`, the README and the chart are generated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Any

from modelsync.settings.secret import Secret

PREFIX = "MODELSYNC_"
"""Begins the name of each setting, except the four of existing installations."""


def setting(
    name: str, default: Any, parse: Callable[[str], Any], doc: str, *, shown: str | None = None
) -> Any:
    """A field for the variable `name`. `shown` is the default as documentation shows it."""
    return field(
        default=default, metadata={"name": name, "parse": parse, "doc": doc, "shown": shown}
    )


def secret(name: str, doc: str) -> Any:
    """A field for a secret, which the variable `name`, or a file named by `<name>_FILE`, holds."""
    return field(default=Secret(), metadata={"name": name, "secret": True, "doc": doc})
