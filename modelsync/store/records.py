"""The rows of the store as the other layers see them. Pure data; times are UTC and aware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

JobKind = Literal["fit", "train", "update", "upload"]
"""`fit` with the data of the request or a source; `train`, by the model's own method; `update` of a
version; `upload` of a ready file, which is loaded and tried before it is offered.
"""

JobState = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
"""`lost`: its process was killed, or its machine is gone."""

FINAL: frozenset[JobState] = frozenset({"done", "failed", "cancelled", "lost"})


@dataclass(frozen=True, slots=True)
class NewJob:
    """What is asked of a job.

    `key`: what its version will be called, a name or a digest of data and parameters; `named`: a
    client has given it. `input`: the SHA-256 of the blob with the body of the request, empty
    without one. `source` and `target`: training data that the job reads itself. `parent`: the
    number of the version that is updated; with the option `follows` it is chosen when the job
    begins (`store.lookup.base`). `code`: the tree hash of the model's folder, `commit` and
    `release` hold it. `fingerprint`: the digest of data, parameters and kind. `request_digest`: of
    the whole request, for its `idempotency_key`. `webhook`: a URL that gets the finished job.
    """

    model: str
    kind: JobKind
    key: str
    named: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    input: str = ""
    source: str = ""
    target: str = ""
    parent: int | None = None
    code: str = ""
    commit: str = ""
    release: str = ""
    fingerprint: str = ""
    idempotency_key: str = ""
    request_digest: str = ""
    webhook: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `number` is that of its version, taken when the job was; other jobs never get it.

    `progress` is from 0 to 1, None if unknown; `rows` are those read so far. `owner` names the
    process that runs it, `heartbeat` is when that was last heard of. `error`: `{"stage", "kind",
    "message"}`. `checkpoint`: the SHA-256 of the blob from which a killed job goes on, empty
    without one. `cancelling`: somebody has asked for its end. `verdict`: why its version did not
    become current, empty if it did.
    """

    id: str
    asked: NewJob
    number: int
    state: JobState
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    heartbeat: datetime | None = None
    owner: str = ""
    attempts: int = 0
    progress: float | None = None
    rows: int | None = None
    message: str = ""
    error: Mapping[str, Any] | None = None
    checkpoint: str = ""
    cancelling: bool = False
    verdict: str = ""

    @property
    def model(self) -> str:
        """The model's name."""
        return self.asked.model

    @property
    def final(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in FINAL


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a job has made: the artefact, whose blob is stored already, and what is known of it.

    `inputs` is a `TableSchema` as JSON. `metrics`: numbers by name. `rows`: how many it was fitted
    with. `fingerprint` is that of the data. `statistics`: a `TableStatistics` of the data as JSON,
    which live requests are compared with. `comparison`: with the version that was current then, on
    the same `rows` that were held out: `{"metric", "new", "old", "version", "rows", "reason",
    "verdict"}`; `new` and `old` are metrics, `reason` why that version could not be evaluated.
    """

    serializer: str
    sha256: str
    size: int
    inputs: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str = ""
    rows: int | None = None
    call_seconds: float | None = None
    statistics: Mapping[str, Any] | None = None
    comparison: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One stored version of a model. `origin` is the kind of its job, `job` that job's id.

    `verdict`: why it did not become current when it was made, empty if it did.
    """

    model: str
    number: int
    key: str
    made: NewVersion
    created: datetime
    origin: JobKind
    job: str
    params: Mapping[str, Any] = field(default_factory=dict)
    parent: int | None = None
    code: str = ""
    commit: str = ""
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """All versions of one model: which is current, and the labels by name, with their numbers."""

    model: str
    current: int | None
    versions: tuple[Version, ...] = ()
    labels: Mapping[str, int] = field(default_factory=dict)


# --- continuous training --------------------------------------------------------------------------

RunStep = Literal["fill", "check", "train", "compare", "promote"]
"""The steps of a training run, in their order."""

RUN_STEPS: tuple[RunStep, ...] = ("fill", "check", "train", "compare", "promote")

RunState = Literal["waiting", "running", "done", "failed"]
"""`waiting`: no process works on it, the next step may begin. `failed`: its step may be tried
again.
"""

RunOutcome = Literal["", "promoted", "kept", "unchanged"]
"""How a run that is done has ended. `kept`: a version was trained, and the one before goes on
serving. `unchanged`: the same data and code have been trained before.
"""

SCHEDULE_LEASE = "train:schedule"
"""The lease of the replica that trains by schedule, and up to when that has been done."""

RUN_LEASE = "run:"
"""What the leases of runs that were asked for begin with, before the number."""

Trigger = Literal["command", "schedule", "change", "drift", "airflow"]
"""What has started a training run: `change` of the data, `drift` of the requests."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One training of a model with the data of a day, from filling to promoting.

    `number` counts all runs. `step` is the one that runs, or that is next, or that has failed.
    `filled`: rows that the day has brought, None before that is known. `source`: where the data
    comes from. `fingerprint`: that of the data, in hex, empty before it is known; `code`, the tree
    hash of the model's folder. `columns`: types of the data's columns by name. `report`: what the
    check has found, a `CheckReport` as JSON. `job` and `version`: what it has trained.
    `comparison`: as that of `NewVersion`. `error`: `{"step", "kind", "message"}` of
    the last try. `owner` and `heartbeat`: the process that works on it.
    """

    number: int
    model: str
    date: date
    trigger: Trigger
    state: RunState
    step: RunStep
    created: datetime
    started: datetime | None = None
    ended: datetime | None = None
    heartbeat: datetime | None = None
    owner: str = ""
    attempts: int = 0
    outcome: RunOutcome = ""
    filled: int | None = None
    source: str = ""
    fingerprint: str = ""
    code: str = ""
    columns: Mapping[str, str] | None = None
    report: Mapping[str, Any] | None = None
    job: str = ""
    version: int | None = None
    comparison: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a client was answered, and what turned out to be true: both of one request.

    `version` is the fitted version that has answered, 0 for a model that has none, None while the
    prediction is not known. `prediction` and `truth` are JSON values, None where they are not known
    (yet). With both, `correct` is the share of the request's rows that are right, and `error` the
    mean absolute error, None where they cannot be compared.
    """

    model: str
    request_id: str
    version: int | None = None
    prediction: Any = None
    truth: Any = None
    correct: float | None = None
    error: float | None = None
    created: datetime | None = None
    answered: datetime | None = None


@dataclass(frozen=True, slots=True)
class LiveQuality:
    """How right a version was, of the requests whose truth is known: `compared` of them.

    `accuracy`: the share of rows that were right. `error`: the mean absolute error, None where
    predictions are no numbers. `since`: the first of those requests.
    """

    version: int
    compared: int
    accuracy: float | None
    error: float | None
    since: datetime
