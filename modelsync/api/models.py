"""What is known of a model: `GET /<base>/<Model>`, and the lines of the page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from flask import Flask, Response, request

from modelsync.api import replies
from modelsync.inference.serving import Service
from modelsync.models.types import LoadedModel, ModelEntry, ModelName, ModelState
from modelsync.server.auth import Authorizer

State = ModelState | Literal["switched_off"]
"""What the release says, or what its calls have done to the processes since."""


@dataclass(frozen=True, slots=True)
class Line:
    """A model in one line. `reason` tells why it is not ready or not up to date; no `url` where the
    name is refused.
    """

    name: str
    state: State
    version: str
    url: str
    doc: str = ""
    reason: str = ""
    release: str = ""


def lines(service: Service) -> list[Line]:
    """Every model of the release, by name."""
    return [_line(service, entry) for _, entry in sorted(service.entries.items())]


def _line(service: Service, entry: ModelEntry) -> Line:
    loaded = service.models.get(entry.name)
    doc = loaded.doc.strip().partition("\n")[0] if loaded else ""
    url = (
        f"{service.base}/{entry.name}" if entry.fault is None or entry.fault.stage != "name" else ""
    )
    version = loaded.version if loaded else ""
    return Line(
        entry.name,
        _state(service, entry),
        version,
        url,
        doc,
        _reason(service, entry),
        entry.release,
    )


def describe(service: Service, name: str) -> dict[str, Any]:
    """Everything about one model. Raises UnknownModel, naming those that look like it."""
    if (entry := service.entries.get(ModelName(name))) is None:
        service.dataplane.model(name)  # raises
        raise AssertionError(f"{name} is served but not in the release")
    loaded = service.models.get(name)
    return {
        "name": name,
        "state": _state(service, entry),
        "reason": _reason(service, entry) or None,
        "switched_off": service.dataplane.breaker.is_open(name),
        "fault": asdict(entry.fault) if entry.fault else None,
        "version": loaded.version if loaded else None,
        "wanted_version": entry.wanted_version or None,
        "versions": _versions(entry, loaded),
        "release": service.commit,
        "class": entry.spec.class_name or None,
        "artefact": entry.spec.artefact or None,
        "batched": loaded is not None and loaded.call_batch is not None,
        "async": entry.spec.is_async,
        "call_seconds": entry.measured.call_seconds,
        "load_seconds": entry.measured.load_seconds,
        "doc": loaded.doc if loaded else None,
        "schema": loaded.schema if loaded else None,
        "examples": [asdict(example) for example in loaded.examples] if loaded else [],
        "url": f"{service.base}/{name}",
    }


def _versions(entry: ModelEntry, loaded: LoadedModel | None) -> list[dict[str, Any]]:
    """The version that serves and the one that should: two only where the newer one is broken."""
    serving = (
        [{"version": loaded.version, "release": entry.release, "serving": True}] if loaded else []
    )
    if entry.wanted_version and (not loaded or entry.wanted_version != loaded.version):
        return [*serving, {"version": entry.wanted_version, "release": None, "serving": False}]
    return serving


def _state(service: Service, entry: ModelEntry) -> State:
    """The state in this process: a model that passed the check may still not load here, or keep
    ending workers.
    """
    if entry.name not in service.models:
        return "failed"
    return "switched_off" if service.dataplane.breaker.is_open(entry.name) else entry.state


def _reason(service: Service, entry: ModelEntry) -> str:
    return service.why_not(entry.name) or (str(entry.fault) if entry.fault else "")


def register(app: Flask, service: Service, authorizer: Authorizer) -> None:
    """Add the route."""

    @app.get(f"{service.base}/<model:name>")
    def model(name: str) -> Response:
        authorizer.require("predict", request.headers.get("Authorization"))
        return replies.json(describe(service, name))
