"""`GET /<base>/sync` of a follower: the members that a pod's answer has, and how the pods are."""

from __future__ import annotations

from typing import Any

from modelsync.rollout.decision import Observed, RolloutState, Step
from modelsync.rollout.track import TrackView

BROKEN = "it is broken in this commit; GET of the model says where"


def describe(view: TrackView) -> dict[str, Any]:
    """How far the rollout of the newest commit is.

    `wanted` is the commit that the ref points to, `pinned` the one that new pods get, `served` the
    last one that was ready in all pods, `in_step` whether all pods serve the wanted one. `result`
    is `published`, `partly` if a model is broken in it, `failed` if the wanted commit was rejected
    or something does not answer, null before. `step` is the one that the follower takes now. Of the
    `pods`, `updated` have the pinned commit, `ready` of them have been ready for minReadySeconds.
    Times are in ISO 8601: `time` is that of the last look for a commit, `last_success` of the last
    that succeeded.
    """
    look = view.look
    seen, state = (look.seen, look.state) if look else (Observed(), RolloutState())
    tip = look.tip if look else ""
    rejected = bool(tip) and state.rejected == tip
    in_step = bool(tip) and seen.pin.commit == tip == state.good.commit and seen.progress == "done"
    problem = view.repository or view.step
    reason, message = (problem.reason, problem.message) if problem else ("", "")
    if rejected and not problem:
        reason, message = state.reason, state.message
    return {
        "wanted": tip or None,
        "served": state.good.commit or None,
        "pinned": seen.pin.commit or None,
        "instead": None,
        "in_step": in_step,
        "result": _result(seen, in_step=in_step, failed=bool(problem) or rejected),
        "reason": reason or None,
        "message": message or None,
        "broken": dict.fromkeys(sorted(seen.pin.broken), BROKEN),
        "time": view.tried or None,
        "last_success": view.resolved or None,
        "next": None,
        "step": look.step.name.lower() if look else None,
        "why": view.why or None,
        "rejected": _rejected(state),
        "pods": {"wanted": seen.wanted, "updated": seen.updated, "ready": _ready(seen)},
    }


def _result(seen: Observed, *, in_step: bool, failed: bool) -> str | None:
    if failed:
        return "failed"
    if not in_step:
        return None
    return "partly" if seen.pin.broken else "published"


def _rejected(state: RolloutState) -> dict[str, str] | None:
    """The commit that is not tried again, and why."""
    if not state.rejected:
        return None
    return {"commit": state.rejected, "reason": state.reason, "message": state.message}


def _ready(seen: Observed) -> int:
    """How many pods of the pinned commit are ready, while some of other commits may be, too."""
    return max(0, min(seen.updated, seen.available - (seen.total - seen.updated)))
