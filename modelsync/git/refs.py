"""Refs in the remote's listing: the one that is followed, and the tags that are labels.

The followed ref is HEAD, a branch, else a tag, else the hash of a commit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LABELS = ("refs/tags/*@*", "refs/tags/*#*")
"""The arguments of `ls-remote` for the tags that may be labels of models."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,39}")


@dataclass(frozen=True, slots=True)
class Ref:
    """The text of MODELSYNC_GIT_REF, and what it may mean in the listing of `git ls-remote`."""

    text: str

    @property
    def commit(self) -> str:
        """The text if it is a full hash, in lower case; else empty."""
        return self.text.lower() if _COMMIT.fullmatch(self.text.lower()) else ""

    @property
    def may_be_abbreviated(self) -> bool:
        """Whether the text may be the beginning of a hash."""
        return bool(_ABBREVIATED.fullmatch(self.text))

    @property
    def names(self) -> tuple[str, ...]:
        """The full names that the text may stand for, the preferred one first."""
        if self.text == "HEAD" or self.text.startswith("refs/"):
            return (self.text,)
        return (f"refs/heads/{self.text}", f"refs/tags/{self.text}")

    @property
    def patterns(self) -> tuple[str, ...]:
        """The arguments of `ls-remote`; none, which lists all refs, for an abbreviated hash."""
        if self.may_be_abbreviated:
            return ()
        return tuple(pattern for name in self.names for pattern in (name, _peeled(name)))

    def find(self, listing: str) -> str | None:
        """The commit in a listing of lines `<hash> TAB <name>`; None if it holds none.

        An annotated tag is listed twice: as itself, and peeled (`^{}`), which is its commit. An
        abbreviated hash stands for the one advertised hash that starts with it.
        """
        lines = (line.partition("\t") for line in listing.splitlines())
        shas = {name: sha for sha, _, name in lines}
        for name in self.names:
            if sha := shas.get(_peeled(name)) or shas.get(name):
                return sha
        if self.may_be_abbreviated:
            found = {sha for sha in shas.values() if sha.startswith(self.text)}
            return found.pop() if len(found) == 1 else None
        return None


def tags(listing: str) -> dict[str, str]:
    """The tags in a listing, by name without `refs/tags/`, with the commits that they lead to."""
    lines = (line.partition("\t") for line in listing.splitlines())
    shas = {name: sha for sha, _, name in lines if name.startswith("refs/tags/")}
    return {
        name.removeprefix("refs/tags/"): shas.get(_peeled(name), sha)
        for name, sha in shas.items()
        if not name.endswith(_peeled(""))
    }


def _peeled(name: str) -> str:
    return f"{name}^{{}}"
