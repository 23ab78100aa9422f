"""`GET /<base>/sync` of a follower: the members that a pod's answer has, and how the pods are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from modelsync.rollout import report
from modelsync.rollout.decision import Look
from modelsync.rollout.track import Track

BROKEN = "it is broken in this commit; GET of the model says where"


def describe(track: Track | None) -> dict[str, Any]:
    """How far the rollout of the newest commit is; all null where nothing is followed.

    `wanted` is the commit that the ref points to, `pinned` the one that new pods get, `served` the
    last one that was ready in all pods, `in_step` whether they serve the wanted one. `result` is
    `published`, `partly` if a model is broken in it, `failed` if the wanted commit was rejected or
    something does not answer, null before. `time` is that of the last look for a commit,
    `last_success` of the last that succeeded, `next` when a rejected one is tried again by itself,
    in ISO 8601. `rollout`: as `report.describe`.
    """
    view = track.view if track else None
    problem = (view.repository or view.step) if view else None
    members: dict[str, Any] = {
        "wanted": None,
        "served": None,
        "pinned": None,
        "instead": None,
        "in_step": False,
        "result": "failed" if problem else None,
        "reason": problem.reason if problem else None,
        "message": problem.message if problem else None,
        "broken": {},
        "time": (view and view.tried) or None,
        "last_success": (view and view.resolved) or None,
        "next": None,
        "rollout": None,
    }
    if track is None or view is None or view.look is None:
        return members
    return (
        members
        | _members(view.look, failed=problem is not None)
        | {
            "rollout": report.describe(
                view.look,
                track.run.environment,
                datetime.now(UTC),
                ref=track.settings.git.ref,
                problem=view.repository.message if view.repository else "",
            )
        }
    )


def _members(look: Look, *, failed: bool) -> dict[str, Any]:
    """Those that follow from a look at the cluster; `failed`: something does not answer."""
    tip, seen, state, _ = look
    in_step = seen.pin.commit == tip == state.good.commit and seen.progress == "done"
    found: dict[str, Any] = {
        "wanted": tip,
        "served": state.good.commit or None,
        "pinned": seen.pin.commit or None,
        "in_step": in_step,
        "broken": dict.fromkeys(sorted(seen.pin.broken), BROKEN),
    }
    if failed:
        return found
    if state.rejected == tip:
        why = {"reason": state.reason, "message": state.message, "next": state.retry or None}
        return {**found, "result": "failed", **why}
    if in_step:
        return {**found, "result": "partly" if seen.pin.broken else "published"}
    return found
