"""The complaints of pods that are not ready: of scheduler, container runtime and
readiness probe.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import requests

from modelsync.cluster.pods import containers, troubles
from modelsync.errors import AuthFailed, RemoteUnreachable, SyncTimeout, UntrustedRemote
from modelsync.problems import FIRST_SYNC

PROBE_TIMEOUT = 2.0
"""Seconds that a pod gets to answer its readiness probe."""

JUST_NOW = timedelta(seconds=60)
"""The time for which a pod that has become ready may not count as available yet, nor the Deployment
as under way again.
"""

REPOSITORY_AWAY = {
    *(kind.reason for kind in (AuthFailed, RemoteUnreachable, SyncTimeout, UntrustedRemote)),
    FIRST_SYNC,
}
"""Reasons of a pod that cannot fetch its commit, or tries to just now, for which a sync has a limit
of its own; the commit itself is not to blame.
"""


class Complaint(NamedTuple):
    """Why a pod is not ready; `away`: because it cannot reach the repository."""

    text: str
    away: bool = False


RECOVERED = Complaint("ready by now")
"""What is found in place of complaints where the probe of a pod answers that it is ready, which the
kubelet has not noticed yet.
"""


class Diagnosis(NamedTuple):
    """The complaints of some pods, each once. `recovering`: all have just become ready."""

    complaints: Sequence[Complaint] = ()
    recovering: bool = False


def diagnose(pods: Sequence[Any], now: datetime) -> Diagnosis:
    """Collect the complaints of those `pods` (V1Pods) that are not ready."""
    found: dict[Complaint, None] = {}
    latest = None
    recovering = bool(pods)
    for pod in pods:
        if ready := _ready_since(pod):
            latest = max(latest or ready, ready)
            continue
        complaints = list(_complaints(pod))
        if complaints == [RECOVERED]:
            latest = now
        else:
            recovering = False
            found |= dict.fromkeys(complaints)
    return Diagnosis(list(found), recovering and latest is not None and latest > now - JUST_NOW)


def _ready_since(pod: Any) -> datetime | None:
    ready = (
        one for one in pod.status.conditions or () if one.type == "Ready" and one.status == "True"
    )
    return next((one.last_transition_time for one in ready), None)


def _complaints(pod: Any) -> Iterator[Complaint]:
    """The complaints of one pod: not scheduled, waiting, ended, or unready containers."""
    for text in troubles(pod):
        yield Complaint(text)
    for container in containers(pod):
        unready = container.state and container.state.running and not container.ready
        if unready and (complaint := _ask_readiness_probe(pod, container.name)):
            yield complaint


def _ask_readiness_probe(pod: Any, name: str) -> Complaint | None:
    """The answer of a container's own readiness probe, if a network policy lets it through;
    `RECOVERED` if it is ready.
    """
    for container in pod.spec.containers:
        probe = container.readiness_probe and container.readiness_probe.http_get
        if container.name != name or not probe or not pod.status.pod_ip:
            continue
        ports = {port.name: port.container_port for port in container.ports or ()}
        host = f"[{pod.status.pod_ip}]" if ":" in pod.status.pod_ip else pod.status.pod_ip
        session = requests.Session()
        session.trust_env = False  # no proxy on the way to a pod
        try:
            url = f"http://{host}:{ports.get(probe.port, probe.port)}{probe.path}"
            response = session.get(url, timeout=PROBE_TIMEOUT, allow_redirects=False)
            answer = response.json()
        except (requests.RequestException, ValueError):
            return Complaint("its readiness probe fails")
        if response.ok:
            return RECOVERED
        if isinstance(answer, dict) and "detail" in answer:
            return Complaint(
                f"not ready: {answer['detail']}", away=answer.get("reason") in REPOSITORY_AWAY
            )
    return None
