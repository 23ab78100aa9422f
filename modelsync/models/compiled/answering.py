"""Serves a ready artefact by its compiled form, in a process that may be of another kind than the
one in which that was proven.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.compiled import compiled_call, fallbacks, fingerprint
from modelsync.models.compiled.compiled_call import CompiledCall
from modelsync.observability.logs import event

ARTEFACT = "artefact"
"""The folder of a ready artefact's form, below that of all compiled forms of a model."""

_log = logging.getLogger(__name__)


def with_compiled(artefact: LoadedArtefact, compiled: Path, name: str) -> LoadedArtefact:
    """Return the artefact of the model `name`, called by its compiled form.

    `compiled`: the folder of the model's compiled forms. One that was made with other libraries or
    that does not load is logged, and the artefact is returned as it is: its estimator answers.
    """
    if not fingerprint.is_from_here(compiled):
        _report(name, "its compiled form was made with other libraries or on another processor")
        return artefact
    try:
        served = compiled_call.served(
            artefact, compiled / ARTEFACT, lambda error: _report(name, _failed(error))
        )
    except Exception as error:  # noqa: BLE001  a library of another version, a damaged file
        _report(name, f"its compiled form does not load ({_said(error)})")
        return artefact
    call = served.batch.call
    if not isinstance(call, CompiledCall):
        return served
    call.on_fallback = partial(fallbacks.report, name)
    return replace(served, backend=call.model.backend)


def _failed(error: Exception) -> str:
    return f"its compiled form has failed with a request ({_said(error)})"


def _report(name: str, reason: str) -> None:
    event(
        _log,
        logging.WARNING,
        f"{name}: {reason}; its estimator answers",
        event="compiled_fallback",
        model=name,
        reason=reason,
    )


def _said(error: Exception) -> str:
    """Return what an error says, as one short line."""
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
