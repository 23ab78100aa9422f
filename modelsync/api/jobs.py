"""`/<base>/<Model>/jobs`: the jobs that fit a model, the log of each, its events; cancelling one.

The body is a long-running operation (https://google.aip.dev/151). A client asks again, waits
(`Prefer: wait=n`), or listens to events (https://html.spec.whatwg.org/#server-sent-events).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from time import monotonic
from typing import Any

import orjson
from flask import Response, request

from modelsync.api import preferences, replies
from modelsync.api.operations import query_parameter, success
from modelsync.api.preferences import Waiting
from modelsync.api.resource import MODEL_NAME, Context, Route
from modelsync.api.trained import SETTLED_WITHIN, TrainedModels, is_news
from modelsync.api.trained_operations import per_trained
from modelsync.errors import MalformedBody, Overloaded, StoreUnavailable, UnknownVersion
from modelsync.inference.threads import start_thread
from modelsync.problems import JSON, Answer
from modelsync.store.records import Job, Version
from modelsync.training import callback
from modelsync.training.operation import operation as as_operation

RETRY_AFTER = 1
"""Seconds after which a client may ask again for a job that runs."""

BEAT = 10.0
"""Seconds between two comments in a stream of events that has no others: so a client that has gone
is noticed.
"""

MAX_LISTENING = 24 * 3600.0
"""Seconds after which a stream of events ends; the client connects again."""

LISTED = 50
"""Jobs in a list, at most."""

EVENTS = "text/event-stream"


def routes(context: Context) -> list[Route]:
    """The routes of jobs."""
    trained = TrainedModels(context)
    path = f"{context.base}/{MODEL_NAME}/jobs"

    def jobs(name: str) -> Response:
        trained.require(name, "predict")

        def make() -> Answer:
            found = trained.store().catalog.jobs(name, limit=LISTED)
            return replies.json_answer({"jobs": [described(trained, one) for one in found]})

        return trained.when_heard(name, make)

    def job(name: str, job_id: str) -> Response:
        trained.require(name, "predict")
        found = trained.store().catalog.job(name, job_id)
        if EVENTS in request.headers.get("Accept", ""):
            return _events(trained, found)
        return answer_when_done(trained, found, preferences.preferred_wait())

    def cancel(name: str, job_id: str) -> Response:
        trained.require(name, "train")
        found = cancelled(trained, name, job_id)
        return replies.json(described(trained, found), 200 if found.final else 202)

    def log(name: str, job_id: str) -> Response:
        trained.require(name, "predict")
        catalog = trained.store().catalog
        catalog.job(name, job_id)
        text, end = catalog.read_log(job_id, _offset(request.args.get("offset", "0")))
        headers = (("X-Modelsync-Log-Offset", str(end)),)
        content = text.encode("utf-8", "replace")
        return replies.respond(Answer(200, content, "text/plain; charset=utf-8", headers))

    return [
        Route("GET", path, jobs, per_trained(context, "jobs", "Jobs of {}, newest first")),
        Route(
            "GET",
            f"{path}/<job_id>",
            job,
            per_trained(
                context,
                "job",
                "State, progress and result of a job of {}",
                {"200": _job_response()},
                problems=("404", "503"),
                description="`Prefer: wait=n` waits for its end; `Accept: text/event-stream` gets "
                "events until then, `Last-Event-ID` those after it.",
            ),
        ),
        Route(
            "DELETE",
            f"{path}/<job_id>",
            cancel,
            per_trained(
                context,
                "cancel",
                "Cancel a job of {}",
                {"200": success("It has ended"), "202": success("It is going to end")},
                problems=("404", "503"),
                scope="train",
            ),
        ),
        Route(
            "GET",
            f"{path}/<job_id>/log",
            log,
            per_trained(
                context,
                "job_log",
                "What a job of {} has printed",
                {"200": success("The log", "text/plain")},
                problems=("400", "404", "503"),
                parameters=[
                    query_parameter("offset", {"type": "integer"}, "Skip so many characters")
                ],
            ),
        ),
    ]


def described(trained: TrainedModels, job: Job) -> dict[str, Any]:
    """The body of a job's resource."""
    return as_operation(job, _version(trained, job), trained.url(job.model, "jobs", job.id))


def cancelled(trained: TrainedModels, name: str, job_id: str) -> Job:
    """Cancel a job. Of one that waits nobody else tells the URL that wants to know its end."""
    catalog = trained.store().catalog
    before, job = catalog.job(name, job_id), catalog.cancel(name, job_id)
    if job.final and not before.final and job.asked.webhook:
        tell = partial(callback.deliver, catalog, job, trained.service.settings)
        start_thread(tell, "modelsync-callback")
    return job


def answer_when_done(
    trained: TrainedModels,
    job: Job,
    wait: float | None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """A response with a job, at its end or after so many seconds; None: as it is now.

    `more`: members of the answer to a request that has made the job; such an answer has a status
    and headers of its own.
    """
    watch = JobWatch(trained, job, wait or 0.0)
    location = (("Location", trained.url(job.model, "jobs", job.id)),) if more else ()
    prefers_async = preferences.prefers_async()

    def make() -> Answer | None:
        if not watch.look():
            return None
        found = watch.job
        status = 202 if more and not found.final else 200
        is_async = prefers_async and status == 202
        headers = (*location, *preferences.applied(wait, is_async=is_async))
        if not found.final:
            headers = (*headers, ("Retry-After", str(RETRY_AFTER)))
        return replies.json_answer({**(more or {}), **described(trained, found)}, status, headers)

    return trained.later(make)


class JobWatch:
    """Looks at a job until it has ended, and until the workers of this machine have its version.

    So a request that follows the news of a finished job is answered by the version it has made.
    """

    def __init__(self, trained: TrainedModels, job: Job, seconds: float) -> None:
        self.job = job
        self._trained = trained
        self._waiting = trained.waiting(seconds)
        self._settling: Waiting | None = None

    def look(self) -> bool:
        """Look again; whether the job is to be told as it is now. A store that is away waits."""
        try:
            if not self.job.final:
                self.job = self._trained.store().catalog.job(self.job.model, self.job.id)
            return self._is_settled() if self.job.final else self._waiting.over
        except StoreUnavailable:
            return self._waiting.over

    def _is_settled(self) -> bool:
        ended = self.job.ended
        if self.job.state != "done" or (ended and not is_news(ended)):
            return True
        self._settling = self._settling or self._trained.waiting(SETTLED_WITHIN)
        patient = not (self._settling.over and self._waiting.over)
        return not patient or self._trained.settled(self.job.model)


def _version(trained: TrainedModels, job: Job) -> Version | None:
    if job.state != "done":
        return None
    try:
        return trained.store().catalog.version(job.model, str(job.number))
    except UnknownVersion:
        return None


def _offset(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise MalformedBody("the query parameter offset must be a whole number")
    return int(text)


def _job_response() -> dict[str, Any]:
    event_stream = {"schema": {"type": "string"}}
    content = {JSON: {"schema": {"type": "object"}}, EVENTS: event_stream}
    return {"description": "The job", "content": content}


# --- events ---------------------------------------------------------------------------------------


def _events(trained: TrainedModels, job: Job) -> Response:
    """A stream of events, from the one after `Last-Event-ID` on.

    Raises Overloaded if so many clients wait that this one cannot.
    """
    if not preferences.may_wait():
        raise Overloaded("too many clients listen already; ask for the job itself", 5)
    last = request.headers.get("Last-Event-ID", "").strip()
    if last.startswith("end"):  # a browser connects again at the end, until it gets a 204
        return Response(status=204)
    offset = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else 0
    events = _stream(trained, job, offset, dict(request.environ))
    return Response(events, content_type=EVENTS, headers={"X-Accel-Buffering": "no"})


def _stream(
    trained: TrainedModels, job: Job, offset: int, environ: dict[str, Any]
) -> Iterator[bytes]:
    """Yield events: `log` with what the job has printed, `state` whenever that changes, and at last
    `done`. The id of an event is the position in the log up to which a client has it.
    """
    watch = JobWatch(trained, job, MAX_LISTENING)
    shown: dict[str, Any] = {}
    told = monotonic()
    yield b"retry: 1000\n\n"
    while not trained.service.draining:
        ended = watch.look()
        text, offset = _printed(trained, watch.job, offset)
        state = described(trained, watch.job)
        if text:
            yield _event("log", str(offset), {"text": text})
        if ended:
            yield _event("done" if watch.job.final else "state", f"end-{offset}", state)
            return
        if state != shown or monotonic() - told > BEAT:
            yield _event("state", str(offset), state) if state != shown else b": it goes on\n\n"
            shown, told = state, monotonic()
        yield from preferences.pause(environ)
    yield b": the service ends here; connect again\n\n"


def _printed(trained: TrainedModels, job: Job, offset: int) -> tuple[str, int]:
    try:
        return trained.store().catalog.read_log(job.id, offset)
    except StoreUnavailable:  # later perhaps
        return "", offset


def _event(kind: str, identity: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (
        kind.encode(),
        identity.encode(),
        orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS),
    )
