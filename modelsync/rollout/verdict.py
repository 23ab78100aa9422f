"""Whether a commit may be rolled out: the check that every sync makes, here before any pod sees the
commit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelsync.errors import NoModels, RefNotFound
from modelsync.models.types import Fault, ModelName
from modelsync.settings import Revision, Settings
from modelsync.sync.update import Outcome, Updater


@dataclass(frozen=True, slots=True)
class RolloutVerdict:
    """`rejected` says why the commit is not rolled out; empty where it may be, with the models that
    are `broken`.
    """

    rejected: str = ""
    broken: frozenset[str] = frozenset()


def evaluate(settings: Settings, commit: str, pin: Revision) -> RolloutVerdict:
    """Check a commit, and where something is broken in it, also the one that is pinned now.

    A model that is broken, and was good so far, speaks against a commit (policy `previous`: in a
    rollout its previous version lives in the previous commit, which goes on as a whole). So does
    with `reject` any that is broken, and with `drop` none. Raises SyncError where that cannot be
    told.
    """
    policy = settings.sync.on_broken_model
    try:
        found = _check(settings, commit)
    except NoModels as error:
        return RolloutVerdict(str(error))
    broken = found.faults
    verdict = RolloutVerdict(broken=frozenset(broken))
    if not broken or policy == "drop":
        return verdict
    if policy == "reject":
        return RolloutVerdict(_told(broken, broken))
    if not pin:
        return (
            verdict
            if len(broken) < len(found.release.models)
            else RolloutVerdict(_told(broken, broken))
        )
    try:
        before = _check(settings, pin.commit)
    except (NoModels, RefNotFound):  # nobody can tell any more what was good: then all of it was
        return RolloutVerdict(_told(broken, broken))
    good = {name for name, entry in before.release.models.items() if not entry.fault}
    return RolloutVerdict(_told(broken, broken.keys() & good)) if broken.keys() & good else verdict


def _check(settings: Settings, commit: str) -> Outcome:
    """Build a release of the commit in the state directory, where nothing serves it, and see what
    is broken.

    Models that are the same in both commits are checked once: the second update knows them from the
    first.
    """
    revision = Revision(commit)
    return Updater(
        replace(
            settings,
            git=replace(settings.git, revision=revision, proven=revision, fallback=False),
            sync=replace(settings.sync, on_broken_model="drop"),
            state=replace(settings.state, home=settings.state.home / "rollout"),
        )
    ).run()


def _told(faults: dict[ModelName, Fault], names: Iterable[ModelName]) -> str:
    return "; ".join(f"{name}: {faults[name]}" for name in sorted(names))
