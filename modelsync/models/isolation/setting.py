"""One setting that all models of a process share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Value = Any


@dataclass(frozen=True, slots=True)
class SharedSetting:
    """One setting: its name in words, how it is read, and how a value is set again.

    `library`: the module that must be imported before. `mild`: many models set it for themselves,
    and it changes no answer unless an example shows so.
    """

    name: str
    read: Callable[[], Value]
    write: Callable[[Value], object]
    library: str = ""
    mild: bool = False


def not_restored(_: Value) -> None:
    """Do nothing: the value cannot be set back."""
