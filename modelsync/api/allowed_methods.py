"""The methods that a path takes, for the field `Allow` (RFC 9110 section 10.2.1).

Flask's rules have all methods of a path for every model. A model that is not trained refuses those
that train, and paths of older systems are answered, but not advertised beside documented ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flask import Flask, request
from werkzeug.exceptions import HTTPException

from modelsync.api.resource import PerModel, Route, Undocumented
from modelsync.models.types import LoadedModel


def allowed(
    app: Flask,
    routes: Mapping[str, Route],
    models: Mapping[str, LoadedModel],
    methods: Iterable[str],
) -> list[str]:
    """Those of the methods of the requested path which the OpenAPI document has, sorted; all of
    them, if it has none. `routes`: by Flask's endpoint.
    """
    given = set(methods)
    kept = {method for method in given if _is_documented(app, routes, models, method)}
    if kept:
        kept |= given & {"OPTIONS", "HEAD" if "GET" in kept else "OPTIONS"}
    return sorted(kept or given)


def _is_documented(
    app: Flask, routes: Mapping[str, Route], models: Mapping[str, LoadedModel], method: str
) -> bool:
    adapter = app.create_url_adapter(request)
    if adapter is None or method in {"HEAD", "OPTIONS"}:
        return False
    try:
        endpoint, values = adapter.match(method=method)
    except HTTPException:
        return False
    route = routes.get(endpoint)
    if route is None or isinstance(route.operation, Undocumented):
        return False
    model = models.get(values.get("name", ""))
    return (
        not isinstance(route.operation, PerModel) or model is None or route.operation.applies(model)
    )
