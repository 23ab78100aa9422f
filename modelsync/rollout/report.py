"""How far a rollout is: for the log of a run, for `modelsync rollout --status`, for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from modelsync.rollout.decision import Look, RolloutState, Step
from modelsync.rollout.pods import Complaint

NEXT = {
    Step.WAIT: "waits for the pods",
    Step.NOTE: "watches the pods of the ref's commit",
    Step.SETTLE: "records that the ref's commit is ready in all pods",
    Step.ADOPT: "records that what was pinned by hand is ready in all pods",
    Step.RESPECT: "lets the undo by hand stand",
    Step.MEND: "pins the commit that the pin stands for",
    Step.ABANDON: "goes back from what was pinned by hand, if a pod says why it is not ready",
    Step.CHECK: "checks the ref's commit",
    Step.REJECT_STUCK: "rejects the ref's commit, if a pod says why it is not ready",
    Step.PIN_BACK: "goes back to the last good commit",
    Step.JUDGE: "judges the canary's commit by what pods have counted",
    Step.LEAVE: "takes a rejected commit off the canary",
}
"""What the next run does, but for REST, of which `why_resting` gives the reason."""


def why_resting(look: Look, environment: str, now: datetime) -> str:
    """The reason to rest."""
    tip, seen, state, _ = look
    short = tip[:12]
    match seen.progress:
        case "paused":
            return "the Deployment is paused"
        case "empty" if seen.pin.commit == tip:
            return f"{short} is pinned; there are no pods"
        case "stuck" if seen.pin.commit == tip == state.rejected:
            return f"{short} does not get ready, and there is no commit to go back to"
        case "stuck" if seen.pin.commit == tip:
            return (
                f"{short} was ready in every pod once; "
                "it is not the reason why pods do not become ready now"
            )
    if state.rejects(tip, environment, now):
        until = f"before {state.retry}" if state.retry_time() else "until the ref moves"
        return f"{short} was rejected and is not tried again {until}: {state.message}"
    return f"{short} is rolled out"


def describe(
    look: Look,
    environment: str,
    now: datetime,
    *,
    ref: str,
    complaints: Sequence[Complaint] = (),
    problem: str = "",
) -> dict[str, Any]:
    """How far it is, as JSON. `problem`: why the ref cannot be read; then the tip is not known.

    `tip`, `pinned`, `good`: commits or null. `broken`: models that are known to be broken in the
    pinned one. `rejected`: null, or the commit that is not tried again, why, and `retry`: when it
    is all the same, or null. `judged`: null, or the commit that a canary is done with, the outcome,
    and why. `progress` is that of the last change of the pods; `complaints`: why
    pods are not ready. `next`: what the next run does, or why it does nothing. `rolled_out`:
    whether all pods are ready with the tip. Times are in ISO 8601.
    """
    tip, seen, state, step = look
    return {
        "ref": ref,
        "tip": tip or None,
        "problem": problem or None,
        "pinned": str(seen.pin.commit) or None,
        "broken": sorted(seen.pin.broken),
        "good": state.good.commit or None,
        "rolled_out": bool(tip) and seen.pin.commit == tip and seen.progress == "done",
        "progress": seen.progress,
        "pods": {
            "wanted": seen.wanted,
            "total": seen.total,
            "updated": seen.updated,
            "available": seen.available,
        },
        "complaints": [one.text for one in complaints],
        "rejected": _rejected(look),
        "judged": _judged(look.state),
        "next": _next(step, look, environment, now) if tip else None,
        "time": state.time or None,
    }


def _rejected(look: Look) -> dict[str, Any] | None:
    state = look.state
    if not state.rejected:
        return None
    again = state.retry_time()
    return {
        "commit": state.rejected,
        "reason": state.reason or None,
        "message": state.message or None,
        "tries": state.tries,
        "retry": again.isoformat(timespec="seconds") if again else None,
    }


def _judged(state: RolloutState) -> dict[str, Any] | None:
    if not state.judged:
        return None
    return {"commit": state.judged, "outcome": state.outcome, "because": state.because or None}


def _next(step: Step, look: Look, environment: str, now: datetime) -> str:
    return why_resting(look, environment, now) if step is Step.REST else NEXT[step]


def lines(found: dict[str, Any]) -> Iterator[str]:
    """The same as a person reads it."""
    tip = found["tip"] or f"cannot be read: {found['problem']}"
    yield f"{found['ref']}: {tip}"
    broken = f" (broken in it: {', '.join(found['broken'])})" if found["broken"] else ""
    yield f"pinned: {found['pinned'] or 'nothing yet'}{broken}"
    yield f"good: {found['good'] or 'none yet'}"
    pods = found["pods"]
    yield (
        f"pods: {found['progress']}; {pods['wanted']} wanted, {pods['updated']} with the pin, "
        f"{pods['available']} available"
    )
    for complaint in found["complaints"]:
        yield f"  {complaint}"
    if rejected := found["rejected"]:
        yield f"rejected: {rejected['commit']} ({rejected['reason']}): {rejected['message']}"
        again = rejected["retry"] or "not by itself; `modelsync rollout --retry` tries it now"
        yield f"  tried again: {again}"
    if found["next"]:
        yield f"next run: {found['next']}"
    if judged := found["judged"]:
        yield f"{judged['outcome']}: {judged['commit']}: {judged['because']}"
    if canary := found.get("canary"):
        yield "canary:"
        yield from (f"  {line}" for line in lines(canary))
