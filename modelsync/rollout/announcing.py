"""What a run tells: Events of the Deployment, and lines of its log."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Literal

from modelsync.observability.logs import event
from modelsync.rollout.cluster import Cluster
from modelsync.rollout.decision import Look

NORMAL = {"RolloutStarted", "RolloutComplete", "RolloutPinned", "CanaryPromoted"}
"""The reasons of Events that are no warnings."""

log = logging.getLogger("modelsync.rollout.job")


class RolloutAnnouncer:
    """Tells of one Deployment; `told` counts the Events by their reason."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.told: Counter[str] = Counter()

    def announce(self, reason: str, message: str, look: Look) -> None:
        """Record an Event of the Deployment, and log the same."""
        kind: Literal["Normal", "Warning"] = "Normal" if reason in NORMAL else "Warning"
        self.told[reason] += 1
        level = logging.INFO if kind == "Normal" else logging.ERROR
        self.log(message, look, level, result=reason)
        self._cluster.record_event(kind, reason, message, look.state)

    def log(self, message: str, look: Look, level: int = logging.INFO, **fields: object) -> None:
        """Log what is done, with the commits that it is about."""
        event(
            log,
            level,
            f"rollout: {message}",
            event="rollout",
            tip=look.tip,
            pin=look.seen.pin.commit or None,
            progress=look.seen.progress,
            **fields,
        )
