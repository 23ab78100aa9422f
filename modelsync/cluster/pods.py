"""What Kubernetes says of a pod that does not run: not scheduled, waiting, ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_ON_ITS_WAY = {"PodInitializing", "ContainerCreating"}


def containers(pod: Any) -> list[Any]:
    """The statuses of a pod's containers (V1ContainerStatus), those that run first included."""
    return [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]


def ends(pod: Any) -> list[Any]:
    """How a pod's own containers have ended (V1ContainerStateTerminated), or what has kept them
    from starting: containers before them that have failed.

    Sidecars are ended with the own containers, so how they ended says nothing.
    """
    own = _terminated(pod.status.container_statuses)
    first = _terminated(pod.status.init_container_statuses)
    return own or [one for one in first if one.exit_code]


def _terminated(statuses: Any) -> list[Any]:
    return [one.state.terminated for one in statuses or () if one.state and one.state.terminated]


def _telling(pod: Any) -> list[Any]:
    """The statuses of the containers that say why a pod is as it is."""
    own = pod.status.container_statuses or []
    return own if own and len(_terminated(own)) == len(own) else containers(pod)


def troubles(pod: Any) -> Iterator[str]:
    """Why a pod (V1Pod) does not run, or how its containers have ended; nothing if all is well."""
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status != "True" and condition.message:
            yield f"not scheduled: {condition.message}"
    if pod.status.reason:  # such as Evicted
        yield _joined(pod.status.reason, pod.status.message)
    for container in _telling(pod):
        state, last = container.state, container.last_state
        if state and state.waiting and state.waiting.reason not in _ON_ITS_WAY:
            yield _joined(state.waiting.reason, state.waiting.message)
        ended = (state and state.terminated) or (last and last.terminated)
        if ended and ended.exit_code:
            how = f"{container.name} ended with {ended.exit_code} ({ended.reason})"
            yield _joined(how, ended.message)


def _joined(reason: str | None, message: str | None) -> str:
    return ": ".join(" ".join(part.split()) for part in (reason, message) if part)
