"""What pods have counted, as `/metrics` has it: read, added up, and since an earlier moment.

Counts are plain mappings from model to name to number, so that they can be kept as JSON.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Counts = Mapping[str, Mapping[str, float]]
"""By model: `requests`, `failures`, `equal`, `different`, and `le:<seconds>` for each bucket of the
durations, which holds all requests that took no longer.
"""

_SAMPLES = {
    "modelsync_requests_total": "requests",
    "modelsync_request_failures_total": "failures",
}
_COMPARED = {"equal": "equal", "different": "different", "failed": "different"}
"""By result of a mirrored request: no answer is a different one; one never sent is none."""


@dataclass(frozen=True, slots=True)
class ModelCounts:
    """The figures that follow from the counts of one model."""

    counts: Mapping[str, float]

    @property
    def requests(self) -> float:
        """Requests that were answered, or lost."""
        return self.counts.get("requests", 0.0)

    @property
    def failures(self) -> float:
        """Those answered with 5xx, or lost."""
        return self.counts.get("failures", 0.0)

    @property
    def error_rate(self) -> float:
        """The share of failures; 0 without requests."""
        return self.failures / self.requests if self.requests else 0.0

    @property
    def different(self) -> float:
        """Answers that were not the same."""
        return self.counts.get("different", 0.0)

    @property
    def compared(self) -> float:
        """Answers that were compared."""
        return self.counts.get("equal", 0.0) + self.different

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the requests was answered, as Prometheus
        estimates it: linear within a bucket, and at most the largest finite bound. 0 without any.
        """
        buckets = sorted(
            (float(name[3:]), number)
            for name, number in self.counts.items()
            if name.startswith("le:")
        )
        if not buckets or not buckets[-1][1]:
            return 0.0
        wanted = share * buckets[-1][1]
        low, below = 0.0, 0.0
        for bound, number in buckets:
            if number >= wanted:
                if bound == float("inf"):
                    return low
                return low + (bound - low) * (wanted - below) / (number - below)
            low, below = bound, number
        return low


def read(text: str) -> Counts:
    """The counts in the text of a pod's `/metrics`. Raises ValueError if it is none."""
    from prometheus_client.parser import text_string_to_metric_families  # only a rule needs it

    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for family in text_string_to_metric_families(text):
        for name, labels, number, *_ in family.samples:
            what = _what(name, labels)
            if what and number:
                found[labels["model"]][what] += number
    return {model: dict(counts) for model, counts in found.items()}


def _what(name: str, labels: Mapping[str, str]) -> str:
    """What a sample counts; empty for all that is not needed."""
    if name == "modelsync_request_duration_seconds_bucket":
        return f"le:{labels['le']}"
    if name == "modelsync_shadow_requests_total":
        return _COMPARED.get(labels["result"], "")
    return _SAMPLES.get(name, "")


def since(now: Counts, before: Counts) -> Counts:
    """What was counted since an earlier moment of the same pod; all of it, if that has begun to
    count anew.
    """
    return {
        model: counts
        if any(counts.get(what, 0.0) < number for what, number in before.get(model, {}).items())
        else {
            what: number - before.get(model, {}).get(what, 0.0) for what, number in counts.items()
        }
        for model, counts in now.items()
    }


def summed(several: Iterable[Counts]) -> Counts:
    """The counts of several pods, added up."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for one in several:
        for model, counts in one.items():
            for what, number in counts.items():
                found[model][what] += number
    return {model: dict(counts) for model, counts in found.items()}


def total(counts: Counts) -> Mapping[str, float]:
    """All models of one side as one."""
    return summed({"": one} for one in counts.values()).get("", {})
