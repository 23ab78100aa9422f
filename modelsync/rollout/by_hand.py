"""What a person asks of a rollout: try a commit again, pin one, say how far it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from modelsync.deadline import Deadline
from modelsync.errors import Conflict, NoModels, RefNotFound, SettingsError, SyncError
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
    """How far it is, as `report.describe` says. Nothing is changed.

    Raises SettingsError, ClusterUnreachable.
    """
    run = RolloutRun(settings, Deadline(PATIENCE))
    problem = ""
    try:
        run.repository.resolve()
    except SyncError as error:
        problem = str(error)
    run.renew(Deadline(PATIENCE))
    look = run.look()
    ready = look.seen.progress in {"done", "empty"}
    return describe(
        look,
        run.environment,
        datetime.now(UTC),
        ref=settings.git.ref,
        complaints=() if ready else run.cluster.diagnose(look.seen),
        problem=problem,
    )
