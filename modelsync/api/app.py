"""The WSGI application: all routes of the service, and one shape for all errors.

Our own worker answers predictions and probes itself and hands the other requests to this
application. Under any other server this application answers all of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter

from modelsync import problems
from modelsync.api import (
    aliases,
    downloads,
    feedback,
    fits,
    jobs,
    labels,
    metrics,
    openapi,
    predict,
    probes,
    replies,
    runs,
    shadow,
    status,
    sync,
    versions,
)
from modelsync.api.allowed_methods import allowed
from modelsync.api.console import pages
from modelsync.api.resource import Context, Resource
from modelsync.errors import RequestError
from modelsync.inference.serving import Service
from modelsync.models.convention import RESERVED
from modelsync.server.auth import Authorizer
from modelsync.server.cors import Cors
from modelsync.server.responses import signature

log = logging.getLogger(__name__)

RESOURCES: tuple[Resource, ...] = (
    pages, openapi, predict, status, fits, versions, labels, jobs, runs, downloads, feedback,
    shadow, sync, probes, metrics,
)  # fmt: skip
"""Every resource. To add one, write its file and list it here.

The links of the index page and the operations of the OpenAPI document have this order.
"""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


Methods = Callable[[Iterable[str]], list[str]]
"""Returns those of the methods of the requested path that are advertised."""


class ModelSegment(BaseConverter):
    """Converts `resource.MODEL_NAME`: one segment of a path that is no RESERVED name."""

    regex = f"(?!(?:{'|'.join(sorted(map(str, RESERVED))).replace('.', '[.]')})$)[^/]+"


def create_context(service: Service) -> Context:
    """The context of all views, with the routes of RESOURCES."""
    context = Context(service, Authorizer(service.settings.access))
    for resource in RESOURCES:
        context.routes.extend(resource.routes(context))
    context.routes.extend(aliases.routes(context))
    return context


def create_app(service: Service) -> Flask:
    """The application that serves `service`, whose models are loaded already."""
    app = Flask(
        __name__,
        static_url_path=f"{service.base}/static",
        static_folder="console/static",
        template_folder="console/templates",
    )
    app.url_map.converters["model"] = ModelSegment
    app.extensions["modelsync"] = service  # where our gunicorn worker finds it
    context = create_context(service)
    service.fetch = context.store.fetch
    # No path is normalised: a redirect of a POST loses its body in most clients.
    app.url_map.merge_slashes = False
    # Other gunicorn workers may be forked after the models were loaded.
    app.before_request(service.after_fork)
    app.before_request(service.watch.start)  # our own worker has done so
    app.before_request(_refuse_leading_slashes)
    endpoints = {f"{one.method} {one.path}".replace(".", "_"): one for one in context.routes}
    for endpoint, route in endpoints.items():
        app.add_url_rule(
            route.path,
            endpoint,
            route.view,
            methods=[route.method],
            strict_slashes=route.strict_slashes,
        )
    methods = partial(allowed, app, endpoints, service.models)
    _handle_errors(app, service, methods)
    _name_methods(app, methods)
    _answer_preflights(app, service)
    _set_response_headers(app, service)
    return app


def _refuse_leading_slashes() -> None:
    # werkzeug removes all leading slashes but one, so it would find `//models/Churn`.
    if request.environ.get("PATH_INFO", "").startswith("//"):
        raise NotFound


def _handle_errors(app: Flask, service: Service, methods: Methods) -> None:
    """Answer every error with a problem document; log the unexpected ones."""

    @app.errorhandler(RequestError)
    def request_error(error: RequestError) -> Response:
        answer = problems.answer(
            error, request_id=replies.request_id(), model=_requested_model(), release=service.commit
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
            named = ", ".join(methods(error.valid_methods or ()))
            headers = (("Allow", named),)
            detail = f"{request.method[:20]} is not allowed here; allowed: {named}."
        return replies.problem(
            status, detail, model=_requested_model(), release=service.commit, headers=headers
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
        detail = "An unexpected error of the service: the log has it under this request_id."
        return replies.problem(500, detail, model=_requested_model(), release=service.commit)


def _name_methods(app: Flask, methods: Methods) -> None:
    """Let the answer to OPTIONS name the methods of the model that is asked."""

    @app.after_request
    def name_methods(response: Response) -> Response:
        if request.method == "OPTIONS" and (given := response.headers.get("Allow")):
            response.headers["Allow"] = ", ".join(methods(given.split(", ")))
        return response


def _not_found(path: str, base: str) -> str:
    """The detail of a 404, with the path to try instead.

    It depends on the shape of the path alone, because clients without a token get it.
    """
    detail = f"Nothing is served at {path!r}"
    if not path.startswith(f"{base}/"):
        return f"{detail}: the models are at {base}/<Model>, see {base}/usage."
    if (shorter := path.rstrip("/")) not in {path, ""}:
        return f"{detail}, with a slash at its end: ask for {shorter!r}."
    return f"{detail}: see {base}/usage for the models."


def _answer_preflights(app: Flask, service: Service) -> None:
    """Let pages of other origins call the service; our own worker has answered their preflights."""
    cors = Cors(service.settings.server.cors_origins)
    if not cors.enabled:
        return

    @app.before_request
    def preflight() -> Response | None:
        given = request.headers.get
        fields = cors.preflight(
            request.method,
            given("Origin"),
            given("Access-Control-Request-Method"),
            given("Access-Control-Request-Headers", ""),
        )
        return replies.respond(problems.Answer(204, b"", "", fields)) if fields else None

    @app.after_request
    def set_fields(response: Response) -> Response:
        for name, value in cors.fields(request.headers.get("Origin")):
            response.headers.add(name, value)
        return response


def _set_response_headers(app: Flask, service: Service) -> None:
    """Set the headers that every response has: request, release, model version, security, caching.

    Headers of one response alone (`Allow`, `Location`, `Retry-After`, `Vary`) are set where that
    response is made.
    """
    stale_models = service.stale

    @app.after_request
    def set_headers(response: Response) -> Response:
        model = service.models.get(_requested_model() or "")
        version = model.version if model else None
        stale = model is not None and model.name in stale_models and response.status_code < 300
        response.headers.update(
            signature(replies.request_id(), service.commit, version, stale=stale)
        )
        for name, value in SECURITY_HEADERS.items():
            response.headers[name] = value
        if request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        return response


def _requested_model() -> str | None:
    return (request.view_args or {}).get("name")
