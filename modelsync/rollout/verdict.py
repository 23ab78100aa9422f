"""The verdict on a commit, by the check that each sync makes, before a pod gets the commit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelsync.errors import NoModels, RefNotFound
from modelsync.models.types import Fault, ModelName
from modelsync.settings import NO_REVISION, Revision, Settings
from modelsync.sync.update import Outcome, Updater


@dataclass(frozen=True, slots=True)
class RolloutVerdict:
    """`rejected`: why the commit must not be rolled out; empty if it may be. `passing`: all that
    keeps it back may work later.

    `broken`: the models that are broken in it.
    """

    rejected: str = ""
    broken: frozenset[str] = frozenset()
    passing: bool = False


def evaluate(settings: Settings, commit: str, pin: Revision) -> RolloutVerdict:
    """Check a commit and, if a model is broken in it, also the pinned commit.

    By the policy (MODELSYNC_ON_BROKEN_MODEL): `previous` rejects a commit that breaks a model which
    is good now, because in a rollout the previous version of a model lives in the previous commit,
    which is kept as a whole; `reject` rejects a commit with any broken model, `drop` none. Raises
    SyncError if the check cannot be made.
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
        return _rejection(broken, broken)
    if not pin:
        return verdict if len(broken) < len(found.release.models) else _rejection(broken, broken)
    try:
        before = _check(settings, pin.commit)
    except (NoModels, RefNotFound):  # it is gone from the repository: all of it counts as good
        return _rejection(broken, broken)
    good = {name for name, entry in before.release.models.items() if not entry.fault}
    return _rejection(broken, broken.keys() & good) if broken.keys() & good else verdict


def revision_of(settings: Settings, commit: str) -> Revision:
    """A commit with the models that are broken in it, however many: for one that a person pins.

    Raises NoModels if it has none, and the SyncErrors of a check that cannot be made.
    """
    dropping = replace(settings, sync=replace(settings.sync, on_broken_model="drop"))
    verdict = evaluate(dropping, commit, NO_REVISION)
    if verdict.rejected:
        raise NoModels(verdict.rejected)
    return Revision(commit, verdict.broken)


def _check(settings: Settings, commit: str) -> Outcome:
    """Build a release of the commit in a state directory of its own, which nothing serves.

    Models that are the same in both commits are checked once: the second update finds them in the
    release of the first. They are compiled only for a cache, from which the pods take the forms.
    """
    revision = Revision(commit)
    compiling = settings.compile if settings.git.cache else replace(settings.compile, mode="off")
    return Updater(
        replace(
            settings,
            git=replace(settings.git, revision=revision, proven=revision, fallback=False),
            sync=replace(settings.sync, on_broken_model="drop"),
            compile=compiling,
            state=replace(settings.state, home=settings.state.home / "rollout"),
        )
    ).run()


def _rejection(faults: dict[ModelName, Fault], names: Iterable[ModelName]) -> RolloutVerdict:
    """Return the verdict that the models of these `names` must not be rolled out."""
    decisive = sorted(names)
    reason = "; ".join(f"{name}: {faults[name]}" for name in decisive)
    return RolloutVerdict(reason, passing=all(faults[name].transient for name in decisive))
