"""The figures of a trial: asked of the pods of both sides, and kept from run to run as text."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import requests

from modelsync.rollout import counts
from modelsync.rollout.canary_rule import CanaryTrial
from modelsync.rollout.counts import Counts
from modelsync.rollout.pods import PROBE_TIMEOUT, is_ready, url

MOST_PODS = 20
"""Pods of one side that are asked: enough to judge by, and few enough for a ConfigMap."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the pods of both sides had counted `since` a moment, in ISO 8601, from which on the
    canary's `commit` is judged. By the name of the pod.
    """

    commit: str
    since: str
    canary: dict[str, Counts]
    stable: dict[str, Counts]

    @classmethod
    def parse(cls, text: str) -> Snapshot | None:
        """The snapshot that was kept; None for what is no such text, as before the first one."""
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError):
            return None

    def __str__(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))

    def until(self, later: Snapshot) -> CanaryTrial:
        """What was counted between two snapshots."""
        seconds = datetime.fromisoformat(later.since) - datetime.fromisoformat(self.since)
        return CanaryTrial(
            seconds.total_seconds(),
            _between(self.canary, later.canary),
            _between(self.stable, later.stable),
        )


def _between(before: dict[str, Counts], now: dict[str, Counts]) -> Counts:
    return counts.summed(counts.since(one, before.get(pod, {})) for pod, one in now.items())


def collect(pods: Sequence[Any], known: Sequence[str] = ()) -> dict[str, Counts]:
    """Ask the ready ones of these `pods` for their counts, those that were asked before
    first. One that does not answer is left out.
    """
    ready = sorted(
        (pod for pod in pods if is_ready(pod)),
        key=lambda pod: (pod["metadata"]["name"] not in known, pod["metadata"]["name"]),
    )
    found = {}
    with requests.Session() as session:
        session.trust_env = False  # no proxy on the way to a pod
        for pod in ready[:MOST_PODS]:
            name = pod["metadata"]["name"]
            try:
                answer = session.get(
                    f"{_place(pod)}/metrics", timeout=PROBE_TIMEOUT, allow_redirects=False
                )
                answer.raise_for_status()
                found[name] = counts.read(answer.text)
            except (requests.RequestException, ValueError) as error:
                log.info("the figures of %s cannot be read: %s", name, error)
    return found


def _place(pod: Any) -> str:
    """Where the service in a pod listens. Raises ValueError if no port is called so."""
    for container in pod["spec"]["containers"]:
        if any(port.get("name") == "http" for port in container.get("ports", ())):
            return url(pod, container, "http")
    raise ValueError("none of its ports is called http")
