"""What Kubernetes says of a pod that does not run: not scheduled, waiting, ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

_ON_ITS_WAY = {"PodInitializing", "ContainerCreating"}

_KILLED = 137
"""The exit code of a container that SIGKILL has ended: memory ran out, or it did not end in time."""


class Trouble(NamedTuple):
    """Why a pod does not run; `passing`: the cause may pass without another image or commit."""

    text: str
    passing: bool = True


def containers(pod: Any) -> list[Any]:
    """The statuses of a pod's containers (V1ContainerStatus), those that run first included."""
    return [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]


def troubles(pod: Any) -> Iterator[Trouble]:
    """Why a pod (V1Pod) does not run, or how its containers have ended; nothing if all is well.

    A node, the registry or memory may be there later; a program that ends by itself will again.
    """
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status != "True" and condition.message:
            yield Trouble(f"not scheduled: {condition.message}")
    if pod.status.reason:  # such as Evicted
        yield Trouble(_joined(pod.status.reason, pod.status.message))
    for container in containers(pod):
        state, last = container.state, container.last_state
        if state and state.waiting and state.waiting.reason not in _ON_ITS_WAY:
            yield Trouble(_joined(state.waiting.reason, state.waiting.message))
        ended = (state and state.terminated) or (last and last.terminated)
        if ended and ended.exit_code:
            how = f"{container.name} ended with {ended.exit_code} ({ended.reason})"
            yield Trouble(_joined(how, ended.message), passing=ended.exit_code == _KILLED)


def _joined(reason: str | None, message: str | None) -> str:
    return ": ".join(" ".join(part.split()) for part in (reason, message) if part)
