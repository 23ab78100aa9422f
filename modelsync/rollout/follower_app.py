"""What a follower answers over HTTP: `/<base>/sync` in the place of the pods, and `/metrics`.

The probes are answered by the server (`follower_server`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from flask import Flask, Response, request
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from werkzeug.exceptions import HTTPException

from modelsync import problems
from modelsync.api import preferences, replies, sync_request
from modelsync.api.preferences import Waiting, WaitingResponse
from modelsync.errors import RequestError
from modelsync.problems import Answer, Headers
from modelsync.rollout import follower_report
from modelsync.rollout.follower_metrics import Families
from modelsync.rollout.track import Track
from modelsync.server.auth import Authorizer, Scope
from modelsync.settings import Settings

log = logging.getLogger(__name__)


class Followed(Protocol):
    """What the application needs of a follower (`follower.Follower`)."""

    ending: bool

    @property
    def tracks(self) -> Sequence[Track]:
        """The tracks, that of the Deployment which clients reach first."""

    def ask(self, *, forced: bool = False) -> int:
        """Have the refs read now."""

    def settled(self, number: int) -> bool:
        """Whether nothing is left to do of what a request found."""


def create_app(settings: Settings, follower: Followed) -> Flask:
    """The application of a follower."""
    app = Flask(__name__, static_folder=None)
    app.url_map.merge_slashes = False  # as in the service: a redirect of a POST loses its body
    base = f"/{settings.server.base_url}" if settings.server.base_url else ""
    sync = SyncView(settings, follower, f"{base}/sync")
    app.add_url_rule(sync.path, "sync_status", sync.status, methods=["GET"])
    app.add_url_rule(sync.path, "sync", sync.request, methods=["POST"])
    app.add_url_rule("/metrics", "metrics", partial(_metrics, Families(follower.tracks)))
    _handle_errors(app, sync.path)
    app.after_request(_set_headers)
    return app


class SyncView:
    """`/<base>/sync`: GET says how far the rollouts are, POST has the refs read now."""

    def __init__(self, settings: Settings, follower: Followed, path: str) -> None:
        self.path = path
        self._settings = settings
        self._follower = follower
        self._refs = [track.settings.git.ref for track in follower.tracks]
        self._authorizer = Authorizer(settings.access)

    def status(self) -> Response:
        """What became of the newest commit."""
        self._require("predict")
        return replies.json(self._report())

    def request(self) -> Response:
        """Authenticate the request, then wake the follower.

        The answer comes at once, or with `Prefer: wait=60` once nothing is left to do: it then
        holds the report.
        """
        asked = sync_request.accept(self._settings.access, self._refs, self._require)
        if asked.answer is not None:
            return asked.answer
        number = self._follower.ask(forced=asked.forced)
        fields = {"request_id": replies.request_id(), "event": "sync_asked", "forced": asked.forced}
        log.info("sync requested", extra={"fields": fields})
        located = (("Location", self.path),)
        seconds = preferences.preferred_wait()
        if seconds is None:
            return replies.json({"status": "accepted", "see": self.path}, 202, located)
        return self._when_settled(number, seconds, (*located, *preferences.applied(seconds)))

    def _when_settled(self, number: int, seconds: float, headers: Headers) -> Response:
        """The report as soon as nothing is left to do: 200; 202 if that takes too long."""
        waiting = Waiting(seconds, lambda: self._follower.ending)

        def answer() -> Answer | None:
            if self._follower.settled(number):
                return replies.json_answer(self._report(), 200, headers)
            return replies.json_answer(self._report(), 202, headers) if waiting.over else None

        return WaitingResponse(answer)

    def _report(self) -> dict[str, object]:
        tracks = self._follower.tracks
        return follower_report.describe(tracks[0] if tracks else None)

    def _require(self, scope: Scope) -> None:
        self._authorizer.require(scope, request.headers.get("Authorization"))


def _metrics(families: Families) -> Response:
    return replies.respond(Answer(200, generate_latest(families), CONTENT_TYPE_PLAIN_0_0_4))


def _handle_errors(app: Flask, sync: str) -> None:
    """Answer every error with a problem document, as the service does."""

    @app.errorhandler(RequestError)
    def request_error(error: RequestError) -> Response:
        return replies.respond(problems.answer(error, request_id=replies.request_id()))

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        code = error.code or 500
        detail = error.description or ""
        if code == 404:
            detail = f"The follower of the rollouts answers {sync} only; the pods have the models."
        allow = [one for one in error.get_headers() if one[0] == "Allow"]
        return replies.problem(code, detail, model=None, release=None, headers=tuple(allow))

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        fields = {"request_id": replies.request_id(), "path": request.path}
        log.error("%s failed", request.endpoint, exc_info=error, extra={"fields": fields})
        detail = "An unexpected error: the log has it under this request_id."
        return replies.problem(500, detail, model=None, release=None)


def _set_headers(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    return response
