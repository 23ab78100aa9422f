"""The complaints of pods that are not ready: of scheduler, container runtime and
readiness probe.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import requests

from modelsync.cluster.pods import containers, troubles
from modelsync.errors import (
    AuthFailed,
    CheckFailed,
    GenerationFailed,
    RemoteUnreachable,
    ResourcesExhausted,
    StorageFailed,
    SyncTimeout,
    UntrustedRemote,
    UpdateDied,
)
from modelsync.problems import FIRST_SYNC

PROBE_TIMEOUT = 2.0
"""Seconds that a pod gets to answer its readiness probe."""

REPOSITORY_AWAY = {
    *(kind.reason for kind in (AuthFailed, RemoteUnreachable, SyncTimeout, UntrustedRemote)),
    FIRST_SYNC,
}
"""Reasons of a pod that cannot fetch its commit, or tries to just now, for which a sync has a limit
of its own; the commit itself is not to blame.
"""

MAY_PASS = {
    *(kind.reason for kind in (CheckFailed, GenerationFailed, ResourcesExhausted)),
    *(kind.reason for kind in (StorageFailed, UpdateDied)),
}
"""Reasons of a pod that may be ready later with the same commit: a database is away, say, or it was
late or killed.
"""


class Complaint(NamedTuple):
    """Why a pod is not ready; `away`: because it cannot reach the repository; `passing`: for a
    cause that may pass.
    """

    text: str
    away: bool = False
    passing: bool = False


def diagnose(pods: Sequence[Any], now: datetime, patience: float) -> list[Complaint]:
    """Collect the complaints of those `pods` that are not ready, each once.

    One that no node was found for less than `patience` seconds ago, or whose container was first
    started since then, has none yet, whatever has kept it from that before: the API server, say.
    """
    recent = now - timedelta(seconds=patience)
    late = (pod for pod in pods if not is_ready(pod) and not _is_unplaced(pod, recent))
    return list(dict.fromkeys(one for pod in late for one in _complaints(pod, recent)))


def is_ready(pod: Any) -> bool:
    """Whether a pod is ready."""
    return any(one["type"] == "Ready" and one["status"] == "True" for one in _conditions(pod))


def url(pod: Any, container: Any, port: Any) -> str:
    """The URL of a port of a container, by its name or number, inside the cluster."""
    ports = {one.get("name"): one["containerPort"] for one in container.get("ports", ())}
    address = pod["status"]["podIP"]
    return f"http://{f'[{address}]' if ':' in address else address}:{ports.get(port, port)}"


def _conditions(pod: Any) -> Sequence[Any]:
    found: Sequence[Any] = pod.get("status", {}).get("conditions", ())
    return found


def _is_unplaced(pod: Any, recent: datetime) -> bool:
    """Whether no node was found for a pod, which it has not waited long for."""
    return any(
        one["type"] == "PodScheduled"
        and one["status"] == "False"
        and datetime.fromisoformat(one["lastTransitionTime"]) > recent
        for one in _conditions(pod)
    )


def _complaints(pod: Any, recent: datetime) -> Iterator[Complaint]:
    """The complaints of one pod: not scheduled, waiting, ended, or unready for long."""
    for trouble in troubles(pod):
        yield Complaint(trouble.text, passing=trouble.passing)
    for container in containers(pod):
        running = container.get("state", {}).get("running")
        if running is None or container["ready"]:
            continue
        since = running.get("startedAt")
        late = container["restartCount"] or not since or datetime.fromisoformat(since) <= recent
        if late and (complaint := _ask_readiness_probe(pod, container["name"])):
            yield complaint


def _ask_readiness_probe(pod: Any, name: str) -> Complaint | None:
    """The answer of a container's own readiness probe, if a network policy lets it through; None if
    it is ready by now, which the kubelet has not noticed yet.
    """
    for container in pod["spec"]["containers"]:
        probe = container.get("readinessProbe", {}).get("httpGet")
        if container["name"] != name or not probe or not pod["status"].get("podIP"):
            continue
        session = requests.Session()
        session.trust_env = False  # no proxy on the way to a pod
        try:
            place = f"{url(pod, container, probe['port'])}{probe.get('path', '/')}"
            response = session.get(place, timeout=PROBE_TIMEOUT, allow_redirects=False)
            answer = response.json()
        except (requests.RequestException, ValueError):  # it hangs, or starts for the next time
            return Complaint("its readiness probe fails", passing=True)
        if response.ok:
            return None
        if isinstance(answer, dict) and "detail" in answer:
            reason = answer.get("reason")
            return Complaint(
                f"not ready: {answer['detail']}",
                away=reason in REPOSITORY_AWAY,
                passing=reason in REPOSITORY_AWAY | MAY_PASS,
            )
        return Complaint("its readiness probe fails")
    return Complaint(f"{name} is not ready", passing=True)
