"""The commit that a pod is pinned to, as the annotation on its pod template holds it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit, and the models that were known to be broken in it when it was rolled out. False
    if none is set.

    As text: the full hash, or `<hash> except Churn,Price`. A person may have written something
    else: such a revision is not `valid`, its `commit` is the text, and nobody can serve it.
    """

    commit: str = ""
    broken: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, raw: str) -> Revision:
        """Read the text. What is no full hash is a revision that is not `valid`."""
        match = re.fullmatch(r"([0-9a-f]{40})(?: except (\S+))?", raw.strip())
        if not match:
            return cls(raw.strip())
        return cls(
            match[1], frozenset(unquote(name) for name in (match[2] or "").split(",") if name)
        )

    @property
    def valid(self) -> bool:
        """Whether the commit is a full hash, 40 hexadecimal digits."""
        return bool(re.fullmatch(r"[0-9a-f]{40}", self.commit))

    def __str__(self) -> str:
        names = ",".join(quote(name, safe="") for name in sorted(self.broken))
        return f"{self.commit} except {names}" if names else self.commit

    def __bool__(self) -> bool:
        return bool(self.commit)


NO_REVISION = Revision()
