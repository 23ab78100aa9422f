"""The index page of all models, the docs page, and the usage text. This process serves all of it.

The docs page holds nothing about the models; it asks for a token before it fetches the OpenAPI
document.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Response, request

from modelsync.api import drift, models, rendering, replies, shadow, sync
from modelsync.api.console.training import training
from modelsync.api.console.usage import usage_text
from modelsync.api.operations import read
from modelsync.api.resource import Context, Route, Undocumented
from modelsync.api.trained import TrainedModels
from modelsync.inference.serving import Service
from modelsync.problems import Answer

VARY = ("Vary", "Accept, Authorization")
LEADS_ON = Undocumented("it leads a browser to the page, and answers programs as that does")


def routes(context: Context) -> list[Route]:
    """The routes that a person opens."""
    base = context.base
    needs_token = context.predict_needs_token

    def index() -> Response:
        return rendering.page_or_json(context, "index.html", lambda: overview(context))

    def root() -> Response:
        if not rendering.prefers_page():
            return index()
        # Relative, so that it is right also where a proxy has cut off a prefix.
        return replies.respond(Answer(302, b"", headers=(("Location", f"{base[1:]}/"), VARY)))

    def docs() -> Response:
        return rendering.page(context, "docs.html")

    def usage() -> Response:
        context.require("predict")
        text = usage_text(context, request.host_url.rstrip("/"))
        return replies.respond(Answer(200, text.encode(), "text/plain; charset=utf-8"))

    about_index = read("index", "All models, as a page or as JSON", needs_token=needs_token)
    about_usage = read("usage", "A curl line for each model", "text/plain", needs_token=needs_token)
    html_only = Undocumented("a page for people: it renders the OpenAPI document as HTML")
    top = [Route("GET", "/", root, LEADS_ON)] if base else []
    return [
        *top,
        # Also without its final slash, so that no client is redirected.
        Route("GET", f"{base}/", index, about_index, strict_slashes=False),
        Route("GET", f"{base}/docs", docs, html_only, link="docs"),
        Route("GET", f"{base}/usage", usage, about_usage, link="usage"),
    ]


def passed_over(service: Service) -> list[dict[str, Any]]:
    """What looks like a model in the repository and is not taken, with the reason."""
    return [asdict(one) for one in (service.release.passed_over if service.release else ())]


def overview(context: Context) -> dict[str, Any]:
    """The content of the index page: a summary of every model, the last sync, and the links.

    `training` of a model is null unless it is trained.
    """
    service = context.service
    not_ready = service.not_ready()
    trained = training(TrainedModels(context))
    return {
        "release": service.commit,
        "ready": not_ready is None,
        "reason": not_ready,
        "models": [
            {
                "name": model.name,
                "state": model.state,
                "version": model.version or None,
                "reason": model.reason or None,
                "warnings": list(model.warnings),
                "doc": model.doc,
                "url": model.url or None,
                "place": model.placement.place,
                "place_reason": model.placement.reason or None,
                "training": trained.get(model.name),
                "drift": drift.summary(service, model.name),
                "shadow": shadow.summary(service, model.name),
                "compiled": model.compiled.described() if model.compiled else None,
            }
            for model in models.summaries(service)
        ],
        "passed_over": passed_over(service),
        "sync": sync.last_sync(service),
        "links": context.links(),
    }
