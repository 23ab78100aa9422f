"""A resource: a module of `api/` whose `routes` function returns its routes.

Each route holds its view, its OpenAPI operation and its link together. `app.RESOURCES` lists the
resources; Flask's routing, the OpenAPI document and the links of the index page follow from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from flask import Response, request

from modelsync.api.components import Schema
from modelsync.api.operations import Operation
from modelsync.api.process_store import ProcessStore
from modelsync.inference.serving import Service
from modelsync.models.types import LoadedModel
from modelsync.server.auth import Authorizer, Scope

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

MODEL_NAME = "<model:name>"
"""The segment of a path that is a model's name; `app.ModelSegment` is its converter in Flask."""


def _no_schemas(_: LoadedModel) -> dict[str, Schema]:
    return {}


def _every(_: LoadedModel) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class PerModel:
    """One operation for each loaded model, at the route's path with the name of that model.

    `schemas` returns the components that the operation of a model refers to, `applies` whether a
    model has this operation: one that is not trained refuses the calls that train.
    """

    operation: Callable[[LoadedModel], Operation]
    schemas: Callable[[LoadedModel], dict[str, Schema]] = _no_schemas
    applies: Callable[[LoadedModel], bool] = _every


@dataclass(frozen=True, slots=True)
class Undocumented:
    """States why the OpenAPI document leaves a route out."""

    reason: str


@dataclass(frozen=True, slots=True)
class Route:
    """A method of a path, and the view that answers it. A GET route also answers HEAD.

    `link` is the key of the path in the links of the index page; None leaves the path out. With
    `strict_slashes` false the view also answers the path without its final slash; a redirect would
    lose the body of a POST in most clients.
    """

    method: Method
    path: str
    view: Callable[..., Response]
    operation: Operation | PerModel | Undocumented
    link: str | None = None
    strict_slashes: bool = True


@dataclass(frozen=True, slots=True)
class Context:
    """What every view may use: the service, its authorizer, and the routes of all resources.

    `app.create_context` fills `routes` before the first request. `store` opens the store of trained
    models in the process that calls it.
    """

    service: Service
    authorizer: Authorizer
    routes: list[Route] = field(default_factory=list)
    store: ProcessStore = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "store", ProcessStore(self.service.settings))

    @property
    def base(self) -> str:
        """The URL prefix of all routes but `/livez`, `/readyz` and `/metrics`."""
        return self.service.base

    @property
    def predict_needs_token(self) -> bool:
        """Whether the scope `predict` takes a token."""
        return not self.authorizer.open_to_all

    def require(self, scope: Scope) -> None:
        """Return if the token of the current request holds `scope`.

        Raises Unauthenticated or Forbidden, as `Authorizer.require` does.
        """
        self.authorizer.require(scope, request.headers.get("Authorization"))

    def links(self) -> dict[str, str]:
        """The paths of the index page's links by key, in the order of the resources."""
        return {route.link: route.path for route in self.routes if route.link}


class Resource(Protocol):
    """A module that `app.RESOURCES` lists."""

    def routes(self, context: Context) -> list[Route]:
        """The routes of this resource."""
        ...
