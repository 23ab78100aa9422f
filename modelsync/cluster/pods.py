"""What Kubernetes says of a pod that does not run: not scheduled, waiting, ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

_ON_ITS_WAY = {"PodInitializing", "ContainerCreating"}

_KILLED = 137
"""The exit code of a container that SIGKILL has ended: memory ran out, or it ended too late."""


class PodTrouble(NamedTuple):
    """Why a pod does not run; `passing`: the cause may pass without another image or commit."""

    text: str
    passing: bool = True


def containers(pod: Any) -> list[Any]:
    """The statuses of a pod's containers, those that run first included."""
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def ends(pod: Any) -> list[Any]:
    """How a pod's own containers have ended, or what has kept them from starting: containers before
    them that have failed.

    Sidecars are ended with the own containers, so how they ended says nothing.
    """
    status = pod.get("status", {})
    own = _terminated(status.get("containerStatuses", ()))
    return own or [
        one for one in _terminated(status.get("initContainerStatuses", ())) if one["exitCode"]
    ]


def _terminated(statuses: Any) -> list[Any]:
    return [one["state"]["terminated"] for one in statuses if "terminated" in one.get("state", {})]


def _telling(pod: Any) -> list[Any]:
    """The statuses of the containers that say why a pod is as it is."""
    own = pod.get("status", {}).get("containerStatuses", [])
    return own if own and len(_terminated(own)) == len(own) else containers(pod)


def troubles(pod: Any) -> Iterator[PodTrouble]:
    """Why a pod does not run, or how its containers have ended; nothing if all is well.

    A node, the registry or memory may be there later; a program that ends by itself will again.
    """
    status = pod.get("status", {})
    for one in status.get("conditions", ()):
        if one["type"] == "PodScheduled" and one["status"] != "True" and one.get("message"):
            yield PodTrouble(f"not scheduled: {one['message']}")
    if status.get("reason"):  # such as Evicted
        yield PodTrouble(_joined(status["reason"], status.get("message")))
    for container in _telling(pod):
        state, last = container.get("state", {}), container.get("lastState", {})
        waiting = state.get("waiting")
        if waiting and waiting.get("reason") not in _ON_ITS_WAY:
            yield PodTrouble(_joined(waiting.get("reason"), waiting.get("message")))
        ended = state.get("terminated") or last.get("terminated")
        if ended and (code := ended["exitCode"]):
            how = f"{container['name']} ended with {code} ({ended.get('reason')})"
            yield PodTrouble(_joined(how, ended.get("message")), passing=code == _KILLED)


def _joined(reason: str | None, message: str | None) -> str:
    return ": ".join(" ".join(part.split()) for part in (reason, message) if part)
