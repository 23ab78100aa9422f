"""`/<base>/<Model>/runs`: the trainings of a model day by day: what each brought, why one failed.

`POST` asks for one. Whichever replica sees the row first runs `modelsync train`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from flask import Response, request

from modelsync.api import preferences, rendering, replies
from modelsync.api.operations import query_parameter, success
from modelsync.api.preferences import Waiting
from modelsync.api.resource import MODEL_NAME, Context, Route
from modelsync.api.trained import SETTLED_WITHIN, TrainedModels
from modelsync.api.trained_operations import per_trained
from modelsync.errors import DataInvalid, MalformedBody, NotTrainable, StoreUnavailable, UnknownRun
from modelsync.models.types import ModelEntry, ModelSpec
from modelsync.problems import JSON, Answer
from modelsync.store.records import SCHEDULE_LEASE, TrainingRun
from modelsync.sync.schedule import Schedule, training_schedule
from modelsync.training import plan
from modelsync.training.run_resource import resource

RETRY_AFTER = 2
"""Seconds after which a client may ask again for a run that goes on."""

LISTED = 100
"""Runs in a list, at most."""

MAX_BODY = 64 * 1024
"""Bytes of the body that asks for a run."""

_DATE = {"type": "string", "format": "date"}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": LISTED}


def routes(context: Context) -> list[Route]:
    """The routes of training runs."""
    trained = TrainedModels(context)
    path = f"{context.base}/{MODEL_NAME}/runs"

    def runs(name: str) -> Response:
        return rendering.page_or_json(context, "runs.html", lambda: _listed(trained, name))

    def run(name: str, number: str) -> Response:
        trained.require(name, "predict")
        found = trained.store().catalog.run(name, _number(name, number))
        return _answer_when_done(trained, found, asked=False)

    def ask(name: str) -> Response:
        _require_itself(trained, trained.require(name, "train"))
        day = _asked(replies.body(MAX_BODY))
        found, _ = trained.store().catalog.ask_run(name, day, "command")
        return _answer_when_done(trained, found, asked=True)

    day = {"type": ["string", "null"], "format": "date"}
    body = {"type": "object", "properties": {"date": day}, "additionalProperties": False}
    media = {"schema": body, "example": {"date": "2026-11-26"}}
    return [
        Route(
            "GET",
            path,
            runs,
            per_trained(
                context,
                "runs",
                "Training runs of {}, newest first",
                problems=("404", "422", "503"),
                parameters=[
                    query_parameter("date", _DATE, "Only those of this day"),
                    query_parameter("limit", _LIMIT, f"At most so many, to {LISTED}"),
                ],
            ),
        ),
        Route(
            "GET",
            f"{path}/<number>",
            run,
            per_trained(
                context,
                "run",
                "A training run of {}: steps, the report of its check, the comparison, the error",
                description="`Prefer: wait=n` waits for its end.",
            ),
        ),
        Route(
            "POST",
            path,
            ask,
            per_trained(
                context,
                "ask_run",
                "Train {} with the data of a day, by default of today",
                {"200": success("It has ended"), "202": success("The run, as in `Location`")},
                problems=("400", "404", "405", "409", "413", "422", "503"),
                scope="train",
                description="`Prefer: wait=n` waits for its end. The run of that day that goes on "
                "already is given again; 409 while that of another day does.",
                requestBody={"required": False, "content": {JSON: media}},
            ),
        ),
    ]


def training_of(trained: TrainedModels, spec: ModelSpec) -> dict[str, Any] | None:
    """How a model is trained by itself, for its status; None if it is not.

    `schedule`: as it is set, None if this service keeps none. `next`: when that is due. `last`: the
    newest run; None without one, or while the store is away.
    """
    if plan.why_not(spec):
        return None
    config, done, last = trained.service.settings, None, None
    with suppress(StoreUnavailable):
        catalog = trained.store().catalog
        last = next(iter(catalog.runs(spec.name, limit=1)), None)
        done = catalog.done_until(SCHEDULE_LEASE)
    off = config.training.jobs == "off"
    due = None if off else _next(training_schedule(config), done, datetime.now(UTC))
    return {
        "schedule": config.continuous.cron.strip() if due else None,
        "poll_seconds": None if off else config.continuous.poll,
        "next": due.astimezone(UTC).isoformat() if due else None,
        "last": resource(last, trained.url(spec.name), full=False) if last else None,
    }


def _next(schedule: Schedule, done: datetime | None, now: datetime) -> datetime | None:
    """When a schedule is due next; one that is due now is kept at this moment."""
    due = schedule.next_after(done or now)
    return schedule.next_after(now) if due and due <= now else due


def _listed(trained: TrainedModels, name: str) -> dict[str, Any]:
    """The runs that the current request asks for, and what is going to come."""
    spec = trained.entry(name).spec
    day = _day(request.args["date"]) if "date" in request.args else None
    found = trained.store().catalog.runs(name, day, limit=_limit())
    return {
        "model": name,
        "training": training_of(trained, spec),
        "runs": [resource(one, trained.url(name)) for one in found],
    }


# --- answers --------------------------------------------------------------------------------------


def _answer_when_done(trained: TrainedModels, run: TrainingRun, *, asked: bool) -> Response:
    """A response with a run, at its end or after the time for which the client prefers to wait."""
    wait = preferences.preferred_wait()
    watch = _RunWatch(trained, run, wait or 0.0)
    url = trained.url(run.model)
    prefers_async = preferences.prefers_async()

    def make() -> Answer | None:
        if not watch.look():
            return None
        goes_on = not watch.ended
        status = 202 if asked and goes_on else 200
        is_async = prefers_async and status == 202
        headers = preferences.applied(wait, is_async=is_async)
        if asked:
            headers = (*headers, ("Location", f"{url}/runs/{run.number}"))
        if goes_on:
            headers = (*headers, ("Retry-After", str(RETRY_AFTER)))
        return replies.json_answer(resource(watch.run, url), status, headers)

    return trained.later(make)


class _RunWatch:
    """Looks at a run until it has ended, and until the workers of this machine have its version."""

    def __init__(self, trained: TrainedModels, run: TrainingRun, seconds: float) -> None:
        self.run = run
        self._trained = trained
        self._waiting = trained.waiting(seconds)
        self._settling: Waiting | None = None

    @property
    def ended(self) -> bool:
        return self.run.state in ("done", "failed")

    def look(self) -> bool:
        """Look again; whether the run is to be told as it is now. A store that is away waits."""
        if self._waiting.over and self._settling is None:
            return True
        try:
            if not self.ended:
                self.run = self._trained.store().catalog.run(self.run.model, self.run.number)
            return self._is_settled() if self.ended else self._waiting.over
        except StoreUnavailable:
            return self._waiting.over

    def _is_settled(self) -> bool:
        if self.run.outcome != "promoted":
            return True
        self._settling = self._settling or self._trained.waiting(SETTLED_WITHIN)
        return self._settling.over or self._trained.settled(self.run.model)


# --- requests -------------------------------------------------------------------------------------


def _require_itself(trained: TrainedModels, entry: ModelEntry) -> None:
    """Hold to it that a run can be had. Raises NotTrainable, StoreUnavailable."""
    if why := plan.why_not(entry.spec):
        raise NotTrainable(
            f"{entry.name} is not trained by itself: {why}", ("GET", "HEAD", "OPTIONS")
        )
    if trained.service.settings.training.jobs == "off":
        raise StoreUnavailable("no model is trained here: MODELSYNC_JOBS is off", 3600)


def _asked(body: bytes) -> date:
    """The day that a body names, by default today. Raises MalformedBody, DataInvalid."""
    try:
        asked = orjson.loads(body) if body.strip() else {}
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the body is not JSON: {error.msg}", error.pos) from None
    if not isinstance(asked, dict) or asked.keys() - {"date"}:
        unknown = f", not {', '.join(asked.keys() - {'date'})}" if isinstance(asked, dict) else ""
        raise DataInvalid(f'the body: expected {{"date": "YYYY-MM-DD"}} or nothing{unknown}')
    if asked.get("date") is None:
        return date.today()  # of the time zone of the machine, as the schedule is
    day = _day(asked["date"])
    if day > datetime.now(UTC).date() + timedelta(days=1):
        raise DataInvalid(f"date: {day} is in the future, and has brought no data")
    return day


def _day(text: object) -> date:
    try:
        return datetime.strptime(str(text), "%Y-%m-%d").date()
    except ValueError:
        raise DataInvalid(f"date: expected YYYY-MM-DD, got {str(text)[:100]!r}") from None


def _limit() -> int:
    text = request.args.get("limit", "20")
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 0 < int(text) <= LISTED):
        raise DataInvalid(f"limit: expected a number from 1 to {LISTED}, got {text[:100]!r}")
    return int(text)


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise UnknownRun(f"{name} has no training run {text[:100]!r}")
    return int(text)
