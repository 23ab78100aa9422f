"""What makes compiled forms of estimators."""

from __future__ import annotations

from typing import Protocol

from modelsync.models.artefacts.target import Target
from modelsync.models.forms.compiled_model import CompiledModel

__all__ = ["Compiler", "NotCompilable", "OtherKind", "Target"]


class NotCompilable(Exception):
    """No form can be made of an estimator. The message names the step, in words for its author."""


class OtherKind(NotCompilable):
    """A compiler is made for estimators of another kind, which says nothing about this one."""


class Compiler(Protocol):
    """Makes forms of one kind.

    `name` tells it from others, as people read it. `is_best`: where it makes a form that is equal,
    those that come after it make no faster one, and are not tried.
    """

    name: str
    is_best: bool

    def compile(self, target: Target) -> CompiledModel:
        """Make a form, which is not yet compared with the estimator.

        Raises NotCompilable, and whatever the libraries raise that do it.
        """
