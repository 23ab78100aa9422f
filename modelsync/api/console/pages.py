"""What a person reads: the page of all models, plain usage, the API reference. All of it from this
process alone.

A browser cannot send a token by itself, so where predict tokens are set the page's place is taken
by a form that asks for one (with status 401), and the API reference, which holds nothing of the
models itself, asks before it fetches them.
"""

from __future__ import annotations

import shlex
from typing import Any

import orjson
from flask import Flask, Response, make_response, render_template, request
from werkzeug.datastructures import MIMEAccept

from modelsync import __version__
from modelsync.api import models, replies, samples, sync
from modelsync.errors import Unauthenticated
from modelsync.inference.serving import Service
from modelsync.models.types import LoadedModel
from modelsync.problems import Answer
from modelsync.server.auth import Authorizer


def register(app: Flask, service: Service, authorizer: Authorizer) -> None:
    """Add the routes."""

    @app.context_processor
    def everywhere() -> dict[str, Any]:
        return {"base": service.base, "version": __version__, "commit": service.commit}

    # Without the slash as well, so that nobody is redirected.
    @app.get(f"{service.base}/", strict_slashes=False)
    def index() -> Response:
        as_page = _is_browser(request.accept_mimetypes)
        try:
            authorizer.require("predict", request.headers.get("Authorization"))
        except Unauthenticated:
            if as_page:
                return _page(render_template("signin.html"), 401)
            raise
        found = overview(service)
        response = _page(render_template("index.html", **found)) if as_page else replies.json(found)
        response.headers["Vary"] = "Accept, Authorization"
        return response

    @app.get(f"{service.base}/usage")
    def usage() -> Response:
        authorizer.require("predict", request.headers.get("Authorization"))
        text = usage_text(service, request.host_url.rstrip("/"))
        return replies.respond(Answer(200, text.encode(), "text/plain; charset=utf-8"))

    @app.get(f"{service.base}/docs")
    def docs() -> Response:
        return _page(render_template("docs.html"))


def overview(service: Service) -> dict[str, Any]:
    """The page's content: every model in a line, and the last sync."""
    lines = models.lines(service)
    base = service.base
    return {
        "release": service.commit,
        "ready": service.not_ready() is None,
        "reason": service.not_ready(),
        "models": [
            {
                "name": line.name,
                "state": line.state,
                "version": line.version or None,
                "reason": line.reason or None,
                "doc": line.doc,
                "url": line.url or None,
            }
            for line in lines
        ],
        "sync": sync.last_sync(service),
        "links": {
            "docs": f"{base}/docs",
            "usage": f"{base}/usage",
            "openapi": f"{base}/openapi.json",
            "all": f"{base}/all",
            "sync": f"{base}/sync",
            "metrics": "/metrics",
        },
    }


def usage_text(service: Service, host: str) -> str:
    """How to call each model from a shell: paste and run."""
    token = ' -H "Authorization: Bearer $TOKEN"' if service.settings.access.predict_tokens else ""
    unavailable = service.unavailable()
    answering = {
        name: model for name, model in sorted(service.models.items()) if name not in unavailable
    }
    parts = [f"{len(answering)} models, release {service.commit or 'none yet'}"]
    for name, model in answering.items():
        about = model.doc.strip().partition("\n")[0]
        parts.append(
            f"{name}{f': {about}' if about else ''}\n{_curl(f'{host}{service.base}/{name}', model, token)}"
        )
    parts.extend(f"{name} does not answer: {reason}" for name, reason in unavailable.items())
    if len(service.models) > 1:
        parts.append(
            f"Every model at once: POST {host}{service.base}/all (?models=A,B picks, ?flat=true merges)"
        )
    parts.append(f"Schemas, examples and a form to try: {host}{service.base}/docs")
    return "\n\n".join(parts) + "\n"


def _curl(url: str, model: LoadedModel, token: str) -> str:
    body = orjson.dumps({"variables": samples.variables(model)}).decode()
    return f"  curl -s {shlex.quote(url)} -H 'Content-Type: application/json'{token} -d {shlex.quote(body)}"


def _is_browser(accept: MIMEAccept) -> bool:
    """Whether HTML was asked for by name; `*/*`, as curl sends it, means a program."""
    return accept.quality("text/html") > accept.quality("application/json")


def _page(html: str, status: int = 200) -> Response:
    return make_response(html, status)
