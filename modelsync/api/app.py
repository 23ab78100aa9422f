"""The WSGI application: every route of a release, and one shape for everything that goes wrong.

Under our own worker it serves all but the predictions; under any other gunicorn worker it serves
those as well.
"""

from __future__ import annotations

import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from modelsync import problems
from modelsync.api import metrics, models, openapi, predict, probes, replies, sync
from modelsync.api.console import pages
from modelsync.errors import RequestError
from modelsync.inference.serving import Service
from modelsync.models.types import RESERVED
from modelsync.server.auth import Authorizer
from modelsync.server.responses import signature

log = logging.getLogger(__name__)

RESOURCES = (probes, metrics, pages, openapi, sync, predict, models)
"""Each registers its own routes."""

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class ModelSegment(BaseConverter):
    """`<model:name>`: one segment of a path that is not the name of a route of ours."""

    regex = f"(?!(?:{'|'.join(sorted(map(str, RESERVED))).replace('.', '[.]')})$)[^/]+"


def create_app(service: Service) -> Flask:
    """Give the application that serves `service`. Nothing is loaded here."""
    app = Flask(
        __name__,
        static_url_path=f"{service.base}/static",
        static_folder="console/static",
        template_folder="console/templates",
    )
    app.url_map.converters["model"] = ModelSegment
    app.extensions["modelsync"] = service  # the worker finds it there
    # A path is taken as it was sent: a redirect of a POST loses its body in most clients.
    app.url_map.merge_slashes = False
    app.before_request(
        service.after_fork
    )  # a worker of gunicorn's own that was forked with the models loaded
    app.before_request(_refuse_leading_slashes)
    authorizer = Authorizer(service.settings.access)
    for resource in RESOURCES:
        resource.register(app, service, authorizer)
    _describe_errors(app, service)
    _sign_answers(app, service)
    return app


def _refuse_leading_slashes() -> None:
    # werkzeug drops all slashes in front but one, so that `//models/Churn` would be found.
    if request.environ.get("PATH_INFO", "").startswith("//"):
        raise NotFound


def _describe_errors(app: Flask, service: Service) -> None:
    @app.errorhandler(RequestError)
    def request_error(error: RequestError) -> Response:
        answer = problems.answer(
            error, request_id=replies.request_id(), model=_model_asked_for(), release=service.commit
        )
        return replies.respond(answer)

    @app.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        status = error.code or 500
        headers: problems.Headers = ()
        detail = error.description or ""
        if isinstance(error, NotFound):
            detail = _not_found(request.path[:200], service.base)
        elif isinstance(error, MethodNotAllowed):
            allowed = ", ".join(sorted(error.valid_methods or ()))
            headers = (("Allow", allowed),)
            detail = f"{request.method[:20]} is not allowed here; allowed: {allowed}."
        return replies.problem(
            status, detail, model=_model_asked_for(), release=service.commit, headers=headers
        )

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        identity = replies.request_id()
        fields = {"request_id": identity, "method": request.method, "path": request.path}
        log.error(
            "%s failed: %s",
            request.endpoint,
            type(error).__name__,
            exc_info=error,
            extra={"fields": fields},
        )
        detail = "An error of the service, not of the request: the log has it under the request_id."
        return replies.problem(500, detail, model=_model_asked_for(), release=service.commit)


def _not_found(path: str, base: str) -> str:
    """What to try instead; only by the shape of the path, because a stranger may ask."""
    detail = f"Nothing is served at {path!r}"
    if not path.startswith(f"{base}/"):
        return f"{detail}: the models are at {base}/<Model>, see {base}/usage."
    if (shorter := path.rstrip("/")) not in {path, ""}:
        return f"{detail}, with a slash at its end: ask for {shorter!r}."
    return f"{detail}: see {base}/usage for what is."


def _sign_answers(app: Flask, service: Service) -> None:
    """Say on every answer which request, which release and which version of a model it belongs to."""

    @app.after_request
    def sign(response: Response) -> Response:
        model = service.models.get(_model_asked_for() or "")
        version = model.version if model else None
        response.headers.update(signature(replies.request_id(), service.commit, version))
        for name, value in SECURITY_HEADERS.items():
            response.headers[name] = value
        if request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def _model_asked_for() -> str | None:
    return (request.view_args or {}).get("name")
