"""Routes requests: predictions to the data plane, all but probes to the WSGI application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Final
from urllib.parse import unquote

import orjson

from modelsync import problems
from modelsync.errors import ModelUnavailable, NotFitted, RequestError
from modelsync.inference.batcher import LARGE_BODY, RequestQueue
from modelsync.inference.codec import Codec
from modelsync.inference.fanout import Outcomes, decode_and_submit_all, submit_all
from modelsync.inference.loop_executor import LoopExecutor
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.outcome import Outcome
from modelsync.inference.serving import Service
from modelsync.inference.thread_pool import PoolTask
from modelsync.models.types import LoadedModel
from modelsync.monitoring.shadow.requests import FIELD
from modelsync.problems import Answer
from modelsync.protocols.native import NATIVE
from modelsync.protocols.versions import codec_of, named_version
from modelsync.server import probes
from modelsync.server.auth import Authorizer
from modelsync.server.cors import Cors
from modelsync.server.media_type import check_media_type
from modelsync.server.query import all_options, version_of
from modelsync.server.request import Request
from modelsync.server.shadow_feed import ShadowFeed
from modelsync.server.wsgi_bridge import WSGIBridge

VERSIONS: Final = b"/versions/"

OLDER: Final = b"/predict"
"""Ends another path of the predictions of a model, which the application answers."""

KEY: Final = b'key"'
"""What the body of a request holds that names a version, as do some others: the end of each of
`bodies.KEYS`.
"""

Respond = Callable[[Answer], None]
"""Called once with the answer of a request, in the loop's thread."""


class Router:
    """The routes of one worker: models and probes, and the WSGI application for all others."""

    def __init__(self, service: Service, executor: LoopExecutor, bridge: WSGIBridge) -> None:
        self._service = service
        self._dataplane = service.dataplane
        self._executor = executor
        self._bridge = bridge
        self._authorizer = Authorizer(service.settings.access)
        self.sampler = service.sampler
        self.shadow = ShadowFeed.of(service.settings, bridge.loop)
        self.stale = service.stale
        self._models = {f"{service.base}/{name}".encode(): name for name in self._dataplane.names}
        self._all = f"{service.base}/all".encode()
        self._codecs = {
            name: codec_of(model.spec) for name, model in self._dataplane.models.items()
        }
        self._cors = Cors(service.settings.server.cors_origins)
        self._probes = {b"/livez": probes.livez, b"/readyz": probes.readyz}

    def model_at(self, path: bytes) -> str | None:
        """Return the name of the model at a path, None if none is listed there."""
        return self._models.get(path)

    def queue_at(self, path: bytes) -> RequestQueue | None:
        """Return the queue of the model at a path, None if no loaded model is there."""
        name = self._models.get(path, "")
        return self._executor.queue(name, self._codecs.get(name, NATIVE))

    def _version_at(self, path: bytes) -> tuple[ModelRunner, str] | None:
        """Return the trained model and the name in `/<base>/<Model>/versions/<v>`."""
        place, found, version = path.partition(VERSIONS)
        if not found or b"/" in version or b"%2f" in version.lower():
            return None
        runner = self._dataplane.runners.get(self._models.get(place, ""))
        return (runner, unquote(version)) if runner and runner.replaceable and version else None

    def _copied(self, path: bytes) -> str | None:
        """Return the model whose predictions at a path are copied to the candidate, None if no
        predictions are made there.
        """
        return self._models.get(path) or self._models.get(path.removesuffix(OLDER))

    def route(self, request: Request, respond: Respond) -> None:
        """Send a request to its route; `respond` gets the answer."""
        path = request.path
        if self.shadow is not None and request.method == b"POST" and (copied := self._copied(path)):
            respond = self.shadow.following(copied, request, respond)
        try:
            if request.method == b"POST" and (name := self._models.get(path)) is not None:
                self.admit(request)
                self._predict(name, request, respond)
            elif request.method == b"POST" and (named := self._version_at(path)):
                self.admit(request)
                self._predict_version(*named, request, respond)
            elif request.method == b"POST" and path == self._all:
                self.admit(request)
                self._predict_all(request, respond)
            elif (preflight := self._cors.answer(request)) is not None:
                respond(preflight)
            elif request.method in (b"GET", b"HEAD") and path in self._probes:
                respond(self._probes[path](self._service, request.request_id))
            elif b"%2f" in path.lower():  # WSGI would take it for a slash
                respond(self._not_found(request))
            else:
                self._bridge.submit(request, self._executor.threadsafe(respond))
        except RequestError as error:
            respond(self._refused(error, request))

    def _not_found(self, request: Request) -> Answer:
        body = problems.document(
            404,
            "no path has an escaped slash (%2F)",
            request_id=request.request_id,
            release=self._dataplane.release,
        )
        return Answer(404, orjson.dumps(body), problems.PROBLEM)

    def admit(self, request: Request) -> None:
        """Check credentials and content type of a prediction. Raises RequestError."""
        content_type = encoding = authorization = None
        for key, value in request.headers:
            if key == b"content-type":
                content_type = value
            elif key == b"authorization":
                authorization = value
            elif key == b"content-encoding":
                encoding = value
        self._authorizer.require("predict", _text(authorization))
        check_media_type(_text(content_type), _text(encoding))

    def answer(
        self, outcome: Outcome, name: str, model: LoadedModel | None, request_id: str
    ) -> Answer:
        """Return the answer with the outcome of a request for the model `name`.

        `model` is the version of it that was called.
        """
        if type(outcome) is NotFitted and (version := self._service.watch.loading(name)):
            detail = f"version {version.number} of {name} is being loaded; try again"
            outcome = ModelUnavailable(detail, retry_after=1)
        answer = NATIVE.answer(
            outcome,
            name=name,
            model=model,
            release=self._dataplane.release,
            request_id=request_id,
        )
        stale = name in self.stale and isinstance(outcome, bytes)
        return replace(answer, stale=True) if stale else answer

    def _answered(
        self,
        outcome: Outcome,
        name: str,
        model: LoadedModel | None,
        codec: Codec,
        request: Request,
    ) -> Answer:
        """Return the answer to a request, as `answer` does, and count it for the samples."""
        if self.sampler is not None and request.header(FIELD) is None:
            self.sampler.heard(model, codec, request.request_id, request.body, outcome)
        return self.answer(outcome, name, model, request.request_id)

    def _predict(self, name: str, request: Request, respond: Respond) -> None:
        """Queue a prediction; one that names a version, in its query or body, goes to that one."""
        request_id, body, codec = request.request_id, request.body, self._codecs.get(name, NATIVE)
        queue = self._executor.queue(name, codec)
        if queue is None:  # it is not loaded
            self._executor.submit(
                name,
                body,
                codec,
                request_id,
                lambda outcome: respond(self.answer(outcome, name, None, request_id)),
            )
            return
        runner = queue.model.runner

        def done(outcome: Outcome) -> None:
            respond(self._answered(outcome, name, runner.model, codec, request))

        if not (runner.replaceable and (KEY in body or request.query)):
            queue.submit(body, request_id, done)
        elif version := version_of(request.query.decode("latin-1")):
            self._predict_version(runner, version, request, respond)
        elif len(body) > LARGE_BODY:  # reading its key takes long
            answer = partial(self._predict_named, runner, codec, request, respond)
            refuse = self._executor.threadsafe(done)
            task = PoolTask(name, lambda ticket: answer() if ticket.claim() else None, refuse)
            self._dataplane.pool.submit(task)
        elif named_version(body):
            self._predict_named(runner, codec, request, respond)
        else:
            queue.submit(body, request_id, done)

    def _predict_named(
        self, current: ModelRunner, codec: Codec, request: Request, respond: Respond
    ) -> None:
        """Answer in a thread, with the version that the body names; called in any thread."""
        name, body, request_id = current.name, request.body, request.request_id
        respond = self._executor.threadsafe(respond)

        def done(outcome: Outcome, model: LoadedModel | None = current.model) -> None:
            respond(self._answered(outcome, name, model, codec, request))

        if version := named_version(body):
            self._service.cache.submit(name, version, body, codec, request_id, done)
        else:
            self._dataplane.submit_to(current, body, codec, request_id, done)

    def _predict_version(
        self, current: ModelRunner, version: str, request: Request, respond: Respond
    ) -> None:
        """Answer in a thread, with the version that the URL names."""
        name, request_id = current.name, request.request_id
        respond = self._executor.threadsafe(respond)

        codec = self._codecs.get(name, NATIVE)

        def done(outcome: Outcome, model: LoadedModel | None = current.model) -> None:
            respond(self._answered(outcome, name, model, codec, request))

        self._service.cache.submit(name, version, request.body, codec, request_id, done)

    def _predict_all(self, request: Request, respond: Respond) -> None:
        """Ask all models; a large body is decoded in a thread."""
        flat = self._service.settings.server.all == "flat"
        options = all_options(request.query.decode("latin-1"), flat=flat)
        respond = self._executor.threadsafe(respond)

        def done(outcomes: Outcomes) -> None:
            if (sampler := self.sampler) is not None:
                for name, outcome in outcomes.items():
                    model = self._dataplane.models.get(name)
                    sampler.heard(model, NATIVE, request.request_id, request.body, outcome)
            respond(
                NATIVE.answer_all(
                    outcomes,
                    flat=options.flat,
                    release=self._dataplane.release,
                    request_id=request.request_id,
                )
            )

        asked = (self._dataplane, request.body, NATIVE, request.request_id, done)
        if len(request.body) <= LARGE_BODY:
            submit_all(*asked, options.names)
        else:
            refuse = lambda error: respond(self._refused(error, request))  # noqa: E731
            decode_and_submit_all(*asked, refuse, options.names)

    def _refused(self, error: RequestError, request: Request) -> Answer:
        """Return the answer of a request that is refused before a model is called, and count it."""
        name = self._models.get(request.path)
        if row := self._dataplane.counters.rows.get(name or ""):
            row.observe(error.reason, perf_counter() - request.started)
        return problems.answer(
            error, request_id=request.request_id, model=name, release=self._dataplane.release
        )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
