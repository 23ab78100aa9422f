from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from modelsync.api import openapi
from modelsync.api.app import RESOURCES, create_app, create_context
from modelsync.api.resource import MODEL_NAME, Context, Undocumented
from modelsync.models.data_schema import ColumnRule, DataSchema
from modelsync.server.auth import Authorizer
from tests.api.serving import a_service, read

AUTOMATIC = {"HEAD", "OPTIONS"}
"""Methods that Flask answers by itself."""

UNDOCUMENTED = {
    ("GET", "/"),
    ("GET", "/models/docs"),
    ("GET", "/models/openapi.json"),
}
STATIC_FILES = ("GET", "/models/static/<path:filename>")


def served(app: Flask) -> set[tuple[str, str]]:
    """Method and path of every route in Flask's map of URLs."""
    return {
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - AUTOMATIC
    }


def documented(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }


def test_every_route_is_documented_or_tells_why_not(tmp_path: Path) -> None:
    """Each route of Flask is in the document, once for each model, or is a known exception."""
    schema = DataSchema((ColumnRule("a", "int"),))  # without one there is no query to describe
    service = a_service(tmp_path, trained=["Echo"], schema=schema)
    found = documented(openapi.document(create_context(service)))
    expected = set()
    for method, path in served(create_app(service)) - UNDOCUMENTED - {STATIC_FILES}:
        names = ["Echo"] if is_for_trained(method, path) else service.models
        expected |= {(method, openapi_path(path, name)) for name in names}
    assert expected == found


def is_for_trained(method: str, path: str) -> bool:
    """Whether a route is one of trained models alone."""
    model = f"/models/{MODEL_NAME}"
    of_all = {
        ("GET", model),
        ("POST", model),
        ("POST", f"{model}/feedback"),
        ("GET", f"{model}/shadow"),
    }
    return MODEL_NAME in path and (method, path) not in of_all


def openapi_path(path: str, name: str) -> str:
    """The path of a route in the notation of OpenAPI, for one model."""
    return path.replace(MODEL_NAME, name).replace("<", "{").replace(">", "}")


def test_a_route_without_an_operation_gives_a_reason(tmp_path: Path) -> None:
    """The exceptions are the ones listed here, each with its reason."""
    reasons = {
        (route.method, route.path): route.operation.reason
        for route in create_context(a_service(tmp_path)).routes
        if isinstance(route.operation, Undocumented)
    }
    assert set(reasons) == UNDOCUMENTED
    assert all(len(reason.split()) > 3 for reason in reasons.values())


def test_every_operation_is_a_route(tmp_path: Path) -> None:
    """Flask routes the method and path of each operation to a view."""
    service = a_service(tmp_path, trained=["Echo"])
    adapter = create_app(service).url_map.bind("localhost")
    for method, path in documented(openapi.document(create_context(service))):
        assert adapter.match(path, method), (method, path)


def test_every_resource_has_routes_of_its_own(tmp_path: Path) -> None:
    """No resource is empty, and no method and path has two views."""
    service = a_service(tmp_path)
    context = Context(service, Authorizer(service.settings.access))
    found = [resource.routes(context) for resource in RESOURCES]
    assert all(found)
    pairs = [(route.method, route.path) for routes in found for route in routes]
    assert len(pairs) == len(set(pairs))


@pytest.mark.parametrize("base", ["models", ""])
def test_links_are_those_of_the_routes(tmp_path: Path, base: str) -> None:
    """The links' keys and order stay the same; the pages and the usage text use them."""
    client = create_app(a_service(tmp_path, baseUrl=base)).test_client()
    prefix = f"/{base}" if base else ""
    links = read(client.get(f"{prefix}/"))["links"]
    assert list(links.items()) == [
        ("docs", f"{prefix}/docs"),
        ("usage", f"{prefix}/usage"),
        ("openapi", f"{prefix}/openapi.json"),
        ("all", f"{prefix}/all"),
        ("sync", f"{prefix}/sync"),
        ("metrics", "/metrics"),
    ]
    page = client.get(f"{prefix}/", headers={"Accept": "text/html"}).text
    for key in ("docs", "usage", "openapi", "metrics"):
        assert f'<a href="{links[key]}">' in page
    usage = client.get(links["usage"]).text
    assert f"http://localhost{links['all']} " in usage
    assert f"http://localhost{links['docs']}\n" in usage
