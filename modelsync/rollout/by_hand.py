"""What a person asks of a rollout: try a commit again, pin one, promote or drop the canary's, say
how far it is.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from modelsync.deadline import Deadline
from modelsync.errors import Conflict, NoModels, RefNotFound, SettingsError, SyncError
from modelsync.rollout.canary import CanaryRun
from modelsync.rollout.job import RolloutRun
from modelsync.rollout.report import describe
from modelsync.settings import Revision, Settings

PATIENCE = 20.0
"""Seconds in which the repository, and then the API server, must have answered a question."""


def retry(run: RolloutRun) -> None:
    """Forget that a commit was rejected or undone, so that the run checks it anew."""
    while True:
        look = run.look()
        if not look.state.rejected:
            run.steps.announcer.log("no commit is rejected", look, result="retrying")
            return
        try:
            run.cluster.write(look.state.retrying())
        except Conflict:
            continue
        message = f"{look.state.rejected[:12]} is tried again"
        run.steps.announcer.log(message, look, result="retrying")
        return


def pin(run: RolloutRun, name: str) -> None:
    """Pin the pods to the commit of a branch, a tag or a hash, until the ref moves.

    Models that are broken in it are found out, and keep no pod from getting ready. Raises
    SettingsError if there is no such commit, or it has no models; other SyncErrors.
    """
    from modelsync.rollout.verdict import revision_of

    run.repository.resolve_patiently()
    try:
        commit = run.repository.find(name)
        revision = revision_of(run.steps.settings_in_time(), commit)
    except (RefNotFound, NoModels) as error:
        raise SettingsError(f"--pin {name}: {error}") from None
    while not _pinned(run, name, revision):
        time.sleep(0.1)  # somebody else has changed the Deployment or the state


def _pinned(run: RolloutRun, name: str, revision: Revision) -> bool:
    """Write that the tip is not wanted, then pin; false if either has changed meanwhile."""
    look, short = run.look(), revision.commit[:12]
    if revision.commit == run.tip:
        message, state = f"{name} is {short}, the ref's commit", look.state.retrying()
    else:
        message = (
            f"{name} is {short}, pinned by hand until the ref moves; "
            "to unpin it, run `modelsync rollout --retry`"
        )
        state = look.state.pinning(run.tip, message)
    try:
        # The state first: else another run might roll out the tip in between.
        run.cluster.write(state)
        run.steps.announcer.announce("RolloutPinned", message, look)
        if look.seen.pin != revision:
            run.steps.pin(look, revision)
    except Conflict:
        return False
    return True


def status(settings: Settings) -> dict[str, Any]:
    """How far it is, as `report.describe` says, with that of a canary as member `canary`. Nothing
    is changed.

    Raises SettingsError, ClusterUnreachable.
    """
    run = RolloutRun(settings, Deadline(PATIENCE))
    found = _status(run)
    if settings.canary.ref:
        found["canary"] = _status(CanaryRun(settings, Deadline(PATIENCE), run))
    return found


def _status(run: RolloutRun) -> dict[str, Any]:
    """How far one Deployment is."""
    problem = ""
    try:
        run.resolve()
    except SyncError as error:
        problem = str(error)
    run.renew(Deadline(PATIENCE))
    look = run.look()
    ready = look.seen.progress in {"done", "empty"}
    return describe(
        look,
        run.environment,
        datetime.now(UTC),
        ref=run.settings.git.ref,
        complaints=() if ready else run.cluster.diagnose(look.seen),
        problem=problem,
    )


def promote(run: RolloutRun) -> None:
    """Have the stable pods, whose `run` this is, serve the commit that is ready in the canary's,
    until their ref moves. Raises SettingsError if there is none, SyncError, ClusterUnreachable.
    """
    canary = _canary(run, "--promote")
    while True:
        look = canary.look()
        good, short = look.state.good, look.seen.pin.commit[:12]
        if not look.seen.pin or look.seen.pin.commit == canary.steps.base.commit:
            raise SettingsError("--promote: the canary serves what the stable pods serve")
        if look.seen.pin != good or look.seen.progress != "done":
            raise SettingsError(f"--promote: {short} is not ready in all pods of the canary yet")
        try:
            canary.steps.promote(look, "by hand")
        except Conflict:
            time.sleep(0.1)  # somebody else has changed the Deployment or the state
            continue
        return


def drop(run: RolloutRun) -> None:
    """Take the commit of its ref off the canary beside the stable pods, whose `run` this is.

    Raises SettingsError if it has none, SyncError, ClusterUnreachable.
    """
    canary = _canary(run, "--drop")
    while True:
        look, commit = canary.look(), canary.repository.tip
        if not commit or commit == canary.steps.base.commit:
            raise SettingsError("--drop: the canary serves what the stable pods serve")
        if look.state.is_judged(commit, canary.environment):
            raise SettingsError(f"--drop: {commit[:12]} was {look.state.outcome} before")
        try:
            canary.steps.drop(look, commit, "by hand")
        except Conflict:
            time.sleep(0.1)
            continue
        return


def _canary(run: RolloutRun, option: str) -> CanaryRun:
    """The canary beside the stable pods, with its ref read."""
    if not run.settings.canary.ref:
        raise SettingsError(f"{option}: MODELSYNC_CANARY_REF is not set: there is no canary")
    canary = CanaryRun(run.settings, Deadline(run.settings.rollout.timeout), run)
    canary.repository.resolve_patiently()
    return canary
