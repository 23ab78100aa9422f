"""Further URLs for calls of models (`MODELSYNC_ALIASES`), as clients of an older server have them.

Such servers answered `GET` and `POST` alike, and answered a request to train once that was done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

from flask import Response, request

from modelsync.api import downloads, fits, predict, status
from modelsync.api.resource import Context, Method, Route, Undocumented
from modelsync.api.trained import TrainedModels
from modelsync.errors import UnknownModel
from modelsync.models.types import ModelName
from modelsync.server.aliases import check_aliases
from modelsync.settings.aliases import Action, Alias

log = logging.getLogger(__name__)

WAIT = 30.0
"""Seconds for which a request to train waits for its end."""


def routes(context: Context) -> list[Route]:
    """The routes of all aliases. Raises SettingsError if one is a route of ours."""
    trained = TrainedModels(context)

    def train(name: str) -> Response:
        entry = trained.require(name, "train")
        return fits.submitted(trained, entry, "fit", wait=WAIT)

    def show(name: str) -> Response:
        context.require("predict")
        return status.status_of(trained, name)

    actions: dict[Action, Callable[[str], Response]] = {
        "predict": predict.predictor(context),
        "train": train,
        "status": show,
        "download": downloads.downloader(trained),
    }
    methods: tuple[Method, ...] = ("GET", "POST")
    found = []
    for alias in _free(context):
        about = f"an alias that the settings make, for {alias.action} of {alias.model}"
        view = _view(context, alias, actions[alias.action])
        for method in methods:
            if not _shared(context, method, alias.path, view):
                route = Route(method, alias.path, view, Undocumented(about), strict_slashes=False)
                found.append(route)
    return found


def _shared(context: Context, method: Method, path: str, view: Callable[[], Response]) -> bool:
    """Whether a path is a page of ours, which then answers as the alias where it has a query.

    That is the index of all models, at `/` where the base URL is empty.
    """
    for place, route in enumerate(context.routes):
        if (route.method, route.path) == (method, path):
            context.routes[place] = replace(route, view=_by_query(view, route.view))
            return True
    return False


def _by_query(view: Callable[[], Response], page: Callable[[], Response]) -> Callable[[], Response]:
    return lambda: view() if request.query_string else page()


def _free(context: Context) -> Iterator[Alias]:
    """The aliases; without those that are the path of a model where the base URL is empty."""
    for alias in check_aliases(context.service.settings):
        model = alias.path.removeprefix("/").removesuffix("/predict")
        if not context.base and ModelName(model) in context.service.entries:
            log.warning("the alias %s is not used: it is the path of a model", alias.path)
        else:
            yield alias


def _view(
    context: Context, alias: Alias, action: Callable[[str], Response]
) -> Callable[[], Response]:
    """The view of an alias. A model that this release does not hold is a 404 that says so."""

    def view() -> Response:
        if ModelName(alias.model) not in context.service.entries:
            context.require("predict")
            try:
                context.service.dataplane.model(alias.model)
            except UnknownModel as error:
                raise UnknownModel(
                    f"{alias.model} (of the alias {alias.path})", error.near
                ) from None
        assert request.view_args is not None
        request.view_args["name"] = alias.model  # for headers and problems
        return action(alias.model)

    return view
