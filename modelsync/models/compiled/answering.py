"""Puts the compiled form of a ready artefact in the place of its estimator's call.

The estimator stays in memory: it answers what the compiled form does not, so that errors are its
own, and rows for which nothing is proven get its answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.compiled import fingerprint
from modelsync.observability.logs import event

ARTEFACT = "artefact"
"""The folder of a ready artefact's form, below that of all compiled forms of a model."""

Call = Callable[[list[Any]], list[Any]]

_log = logging.getLogger(__name__)


def with_compiled(artefact: LoadedArtefact, compiled: Path, name: str) -> LoadedArtefact:
    """Return the artefact of the model `name` with the calls of its compiled form.

    `compiled`: the folder of the model's compiled forms. One that was made with other libraries or
    that does not load is logged, and the artefact is returned as it is.
    """
    if not (compiled / ARTEFACT).is_dir():  # it has nothing that would be faster
        return artefact
    if not fingerprint.is_from_here(compiled):
        _report(name, "its compiled form was made with other libraries or on another processor")
        return artefact
    try:
        # Here: it imports the library that runs the form, which others do without.
        from modelsync.models.compiled import compiled_call

        call = compiled_call.load(compiled / ARTEFACT, artefact)
    except Exception as error:  # noqa: BLE001  a library of another version, a damaged file
        _report(name, f"its compiled form does not load ({_said(error)})")
        return artefact
    return replace(artefact, batch=replace(artefact.batch, call=_Fallback(call, artefact, name)))


class _Fallback:
    """Calls the compiled form, and where it fails the estimator; the first failure is logged."""

    __slots__ = ("_compiled", "_estimator", "_name", "_reported")

    def __init__(self, compiled: Call, artefact: LoadedArtefact, name: str) -> None:
        self._compiled = compiled
        self._estimator = artefact.batch.call
        self._name = name
        self._reported = False

    def __call__(self, rows: list[Any]) -> list[Any]:
        try:
            return self._compiled(rows)
        except Exception as error:  # noqa: BLE001  whatever it is, the estimator decides
            if not self._reported:
                self._reported = True
                _report(self._name, f"its compiled form did not answer a request ({_said(error)})")
        return self._estimator(rows)


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
