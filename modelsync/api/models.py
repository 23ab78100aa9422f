"""What is told of models: all about one, and summaries of all for the index page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from modelsync.api import artefacts, compiled, drift
from modelsync.inference.serving import Service
from modelsync.models.compilation import Compilation
from modelsync.models.placement import Placement
from modelsync.models.types import (
    LoadedModel,
    ModelEntry,
    ModelName,
    ModelState,
)

State = ModelState | Literal["switched_off"]
"""The state in the release; `switched_off` once calls of the model have ended several workers."""


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """A row of the index page.

    `reason` says why the model is not ready or not up to date, `warnings` what may be wrong with it
    all the same, `placement` where it runs, `compiled` what came of compiling its estimator, None
    without one. `version` is empty if no version is loaded, `url` is empty if the folder's name is
    refused as a model's name.
    """

    name: str
    state: State
    version: str
    url: str
    placement: Placement
    doc: str = ""
    reason: str = ""
    warnings: tuple[str, ...] = ()
    compiled: Compilation | None = None


def summaries(service: Service) -> list[ModelSummary]:
    """Every model of the release, by name."""
    return [_summary(service, entry) for _, entry in sorted(service.entries.items())]


def _summary(service: Service, entry: ModelEntry) -> ModelSummary:
    loaded = service.models.get(entry.name)
    refused = entry.fault is not None and entry.fault.stage == "name"
    return ModelSummary(
        entry.name,
        _state(service, entry),
        version=loaded.version if loaded else "",
        url="" if refused else f"{service.base}/{entry.name}",
        doc=loaded.doc.strip().partition("\n")[0] if loaded else "",
        reason=_reason(service, entry),
        warnings=tuple(map(str, entry.warnings)),
        placement=service.placement(entry),
        compiled=compiled.of(service, entry),
    )


def describe(service: Service, name: str) -> dict[str, Any]:
    """Everything about one model. Raises UnknownModel, which lists similar names."""
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
        "next_try": _next_try(service, entry),
        "placement": asdict(service.placement(entry)),
        "warnings": [asdict(warning) for warning in entry.warnings],
        "version": loaded.version if loaded else None,
        "wanted_version": entry.wanted_version or None,
        "versions": _versions(entry, loaded),
        "release": service.commit,
        "class": entry.spec.class_name or None,
        "function": entry.spec.function or None,
        "artefact": entry.spec.artefact or None,
        "batched": loaded is not None and loaded.call_batch is not None,
        "async": entry.spec.is_async,
        "call_seconds": entry.measured.call_seconds,
        "load_seconds": entry.measured.load_seconds,
        "doc": loaded.doc if loaded else None,
        "schema": loaded.schema if loaded else None,
        "examples": _examples(loaded) if loaded else [],
        "url": f"{service.base}/{name}",
        "drift": drift.described(service, name),
        "compiled": compiled.described(service, entry),
        **artefacts.facts(service, entry, loaded),
    }


def _examples(loaded: LoadedModel) -> list[dict[str, Any]]:
    return [
        {"name": one.name, "variables": one.variables, "response": one.response}
        for one in loaded.examples
    ]


def _next_try(service: Service, entry: ModelEntry) -> str | None:
    """When a model is tried again that does not serve for a reason that may pass; ISO 8601, UTC."""
    transient = entry.fault.transient if entry.fault else entry.name in service.faults
    return (transient and service.request_sync and service.status().next_attempt) or None


def _versions(entry: ModelEntry, loaded: LoadedModel | None) -> list[dict[str, Any]]:
    """The version that serves and the wanted one; they differ only if the wanted one is broken."""
    serving = (
        [{"version": loaded.version, "release": entry.release, "serving": True}] if loaded else []
    )
    if entry.wanted_version and (not loaded or entry.wanted_version != loaded.spec.version):
        return [*serving, {"version": entry.wanted_version, "release": None, "serving": False}]
    return serving


def _state(service: Service, entry: ModelEntry) -> State:
    """The state in this process: a model that passed the check may still fail to load or end
    workers.
    """
    if entry.name not in service.models or entry.name in service.dataplane.suspended:
        return "failed"
    return "switched_off" if service.dataplane.breaker.is_open(entry.name) else entry.state


def _reason(service: Service, entry: ModelEntry) -> str:
    return service.why_not(entry.name) or (str(entry.fault) if entry.fault else "")
