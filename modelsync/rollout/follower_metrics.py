"""`GET /metrics` of a follower: what its tracks do, and how long commits take."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client.metrics_core import CounterMetricFamily as Counter
from prometheus_client.metrics_core import GaugeMetricFamily as Gauge
from prometheus_client.metrics_core import HistogramMetricFamily as Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from modelsync import __version__
from modelsync.rollout.track import BOUNDS, Track

ALWAYS = ("RolloutStarted", "RolloutComplete", "RolloutRejected", "RolloutRolledBack")
"""Reasons of Events that are counted from 0 on."""

_BOUNDS = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")


class Families(Collector):
    """Collects the metric families at each scrape; each is labelled with its Deployment."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._tracks = tracks

    def collect(self) -> Iterable[Metric]:
        """All families."""
        yield from _counts(self._tracks)
        yield from _state(self._tracks)
        build = Gauge(
            "modelsync_follower_info",
            "The versions of modelsync and Python.",
            labels=["version", "python"],
        )
        build.add_metric([__version__, platform.python_version()], 1.0)
        yield build


def _counts(tracks: Sequence[Track]) -> Iterator[Metric]:
    """Reads of the ref, rollouts by result, and how long they took."""
    polls = Counter(
        "modelsync_follower_polls",
        "Reads of the ref by result: ok, or the reason of the failure.",
        labels=["deployment", "result"],
    )
    rollouts = Counter(
        "modelsync_rollouts", "Events of rollouts, by their reason.", labels=["deployment", "event"]
    )
    seconds = Histogram(
        "modelsync_rollout_duration_seconds",
        "Time from the first sight of a commit until it was ready in all pods.",
        labels=["deployment"],
    )
    for track in tracks:
        name, counts = track.settings.rollout.deployment, track.counts
        for result, count in sorted(counts.polls.copy().items()):
            polls.add_metric([name, result], count)
        told = dict.fromkeys(ALWAYS, 0) | track.run.told
        for reason, count in sorted(told.items()):
            rollouts.add_metric([name, reason.removeprefix("Rollout")], count)
        buckets = [*counts.buckets, counts.rollouts]
        seconds.add_metric([name], list(zip(_BOUNDS, buckets, strict=True)), counts.seconds)
    yield from (polls, rollouts, seconds)


def _state(tracks: Sequence[Track]) -> Iterator[Metric]:
    """The commits, the pods, and whether repository and cluster answer."""
    commits = Gauge(
        "modelsync_rollout_commit_info",
        "The commit that the ref points to, that is pinned, and that was last ready in all pods.",
        labels=["deployment", "which", "commit"],
    )
    pods = Gauge(
        "modelsync_rollout_pods",
        "Pods that are wanted, that have the pinned commit, and that are available.",
        labels=["deployment", "which"],
    )
    rejected = Gauge(
        "modelsync_rollout_rejected",
        "1 if the commit that the ref points to is not rolled out, for that reason.",
        labels=["deployment", "reason"],
    )
    resolved = Gauge(
        "modelsync_follower_last_poll_timestamp_seconds",
        "Unix time at which the ref was last read.",
        labels=["deployment"],
    )
    for track in tracks:
        name, view = track.settings.rollout.deployment, track.view
        if view.resolved:
            resolved.add_metric([name], datetime.fromisoformat(view.resolved).timestamp())
        if not (look := view.look):
            continue
        seen, state = look.seen, look.state
        found = {"wanted": look.tip, "pinned": seen.pin.commit, "good": state.good.commit}
        for which, commit in found.items():
            if commit:
                commits.add_metric([name, which, commit], 1.0)
        numbers = {"wanted": seen.wanted, "updated": seen.updated, "available": seen.available}
        for which, number in numbers.items():
            pods.add_metric([name, which], number)
        if state.rejected == look.tip:
            rejected.add_metric([name, state.reason], 1.0)
    yield from (commits, pods, rejected, resolved)
