"""Which models of a repository are served, as a setting names them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class ModelSelection:
    """The models that are `named`, spelled as their folders are; without a name, all but those
    `left_out`. False if it takes every model.

    As text: `Churn,Price`, or `-Fraud`.
    """

    named: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()

    def takes(self, name: str) -> bool:
        """Whether a model is served."""
        return name in self.named if self.named else name not in self.left_out

    def __bool__(self) -> bool:
        return bool(self.named or self.left_out)

    def __str__(self) -> str:
        return ",".join(sorted(self.named) or [f"-{name}" for name in sorted(self.left_out)])


EVERY_MODEL = ModelSelection()


def parse_selection(raw: str) -> ModelSelection:
    """Read names, separated by commas, all of them with `-` before it or none. Raises ValueError
    with the reason.
    """
    found = [one.strip() for one in raw.split(",") if one.strip()]
    for one in found:
        name = one.removeprefix("-")
        if not _NAME.fullmatch(name):
            raise ValueError(f"has {one[:100]}, which is no model's name")
        if name.lower() == "all":
            raise ValueError("has all, which is no model's name; unset, it means all models")
    left_out = frozenset(one[1:] for one in found if one.startswith("-"))
    named = frozenset(one for one in found if not one.startswith("-"))
    if named and left_out:
        raise ValueError("must name the models to serve, or those to leave out, not both")
    return ModelSelection(named, left_out)
