"""The cluster of the tests: `python -m scripts.cluster up`, `down`, `load IMAGE`, `missing`,
`programs` and `policies`.

`missing` prints why no cluster can run here; `programs` compiles what `up` needs, and no more;
`policies` compiles the agent that enforces network policies.
"""

from __future__ import annotations

import sys

from scripts.cluster import given, kind, own, programs
from scripts.cluster.description import Description
from scripts.cluster.layout import Layout, layout


def up(where: Layout) -> Description:
    """Use a cluster that is given, kind if Docker runs, else one of our own."""
    if given.chosen():
        return given.up(where)
    return kind.up(where) if kind.chosen() else own.up(where)


def missing() -> str:
    """Return why there can be no cluster here, or "" if there can."""
    return "" if given.chosen() or kind.chosen() else own.missing()


def down(where: Layout) -> None:
    """Leave nothing behind but the cache of programs."""
    match Description.read(where):
        case Description(kind="given"):
            given.down(where)
        case Description(kind="kind"):
            kind.down(where)
        case _:
            own.down(where)


def load(where: Layout, image: str) -> None:
    """Put an image that was built here into the cluster that is up."""
    match Description.read(where):
        case Description(kind="given"):
            given.load(image)
        case Description(kind="kind"):
            kind.load(image)
        case Description():
            own.load(where, image)
        case None:
            raise SystemExit("cluster: it is not up, see `make cluster`")


def main(arguments: list[str]) -> int:
    """Do as the command line says; the exit code."""
    where = layout()
    match arguments:
        case ["up"]:
            found = up(where)
            print(
                f"KUBECONFIG={found.kubeconfig}  # kubectl and helm: "
                f"{found.programs or 'those of the PATH'}"
            )
        case ["down"]:
            down(where)
        case ["missing"]:
            reason = missing()
            print(reason, end="")
            return 1 if reason else 0
        case ["programs"]:
            if not given.chosen():
                programs.build(where)
        case ["policies"]:
            if not (given.chosen() or kind.chosen()):
                programs.add_policy_agent(where)
        case ["load", image]:
            load(where, image)
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
