"""Pages of HTML for people, at URLs where programs get JSON.

A browser cannot send a token by itself. So if predict tokens are set, a page that holds something
about models is replaced by a form that asks for one (with status 401).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, make_response, render_template, request
from werkzeug.datastructures import MIMEAccept

from modelsync import __version__
from modelsync.api import replies
from modelsync.api.resource import Context
from modelsync.errors import Unauthenticated
from modelsync.models.placement import PLACES


def page(
    context: Context, template: str, values: dict[str, Any] | None = None, status: int = 200
) -> Response:
    """A template as a response; `layout.html` takes the values that every page has."""
    layout = {
        "base": context.base,
        "commit": context.service.commit,
        "links": context.links(),
        "version": __version__,
    }
    values = {"places": PLACES, **layout, **(values or {})}
    return make_response(render_template(template, **values), status)


def page_or_json(context: Context, template: str, find: Callable[[], dict[str, Any]]) -> Response:
    """What `find` returns, as a page for a browser, else as JSON, for who may predict."""
    as_page = prefers_page()
    try:
        context.require("predict")
    except Unauthenticated:
        if as_page:
            return page(context, "signin.html", status=401)
        raise
    found = find()
    response = page(context, template, found) if as_page else replies.json(found)
    response.headers["Vary"] = "Accept, Authorization"
    return response


def prefers_page() -> bool:
    """Whether a client gets a page where a program gets JSON."""
    return _prefers_html(request.accept_mimetypes)


def _prefers_html(accept: MIMEAccept) -> bool:
    """Whether the client ranks `text/html` above JSON; `*/*`, as curl sends it, does not."""
    return accept.quality("text/html") > accept.quality("application/json")
