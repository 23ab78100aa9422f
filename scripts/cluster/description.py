"""What is known of a cluster that is up: written by `make cluster`, read by the tests."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, Self

from scripts.cluster.layout import Layout


@dataclass(frozen=True)
class Description:
    """A cluster that can be used."""

    kind: Literal["given", "kind", "own"]
    kubeconfig: str
    host: str
    """An address of this machine that pods reach."""
    ingress: str
    """The ingress controller's URL, without a slash at the end."""
    programs: str
    """Folder with kubectl, helm3 and helm4; empty: those of the PATH."""
    volumes: str = ""
    """Folder that all nodes see under this very path, for persistent volumes; empty: the cluster
    provides its own.
    """

    def write(self, layout: Layout) -> None:
        """Leave it where `read` finds it."""
        layout.run.mkdir(parents=True, exist_ok=True)
        layout.description.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, layout: Layout) -> Self | None:
        """Return the cluster that is up, or None."""
        try:
            return cls(**json.loads(layout.description.read_text()))
        except FileNotFoundError:
            return None
