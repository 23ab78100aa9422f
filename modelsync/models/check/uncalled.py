"""A model without examples: it is called once with made-up variables, and what that tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, get_origin, get_type_hints

from modelsync.errors import ModelRaised, NotFitted, RequestRejected, VariablesInvalid
from modelsync.models import convention, rejection
from modelsync.models.binding import calls
from modelsync.models.check import made_up
from modelsync.models.check.answering import answer
from modelsync.models.diagnosis import from_exception
from modelsync.models.model_warnings import ModelWarning
from modelsync.models.types import LoadedModel

SHOWN = 160
"""Characters of the made-up variables that a warning shows."""

ADD = f"add an example, such as {convention.EXAMPLES}/one.json with a request that it answers"

NEVER = "never called: it has no examples, and nothing tells what it takes"

NO_DICT = (int, float, complex, str, bytes, list, tuple, set, frozenset, type(None))
"""Types whose values are no object of JSON."""

ARRAYS = {"ndarray", "Series", "DataFrame", "Tensor"}
"""Names of types of libraries, which are not imported to compare, that are none either."""


def warnings(model: LoadedModel) -> list[ModelWarning]:
    """Call a loaded model once, and return what there is to say of it; empty if it has answered.

    That it rejects the made-up values, by a status or by their type, tells nothing of it. A model
    that only `fit` makes able to predict has nothing to be called yet.
    """
    if model.spec.trainable and calls.method_of(model.instance, convention.METHOD) is None:
        return []
    variables = made_up.variables(model)
    if variables is None:
        return [_never_called(model, NEVER)]
    shown = json.dumps(variables, ensure_ascii=False, default=str)[:SHOWN]
    try:
        answer(model, variables, model.context)
    except NotFitted:
        return []
    except BaseException as error:  # noqa: BLE001 - model code: SystemExit is the model's fault
        if isinstance(error, RequestRejected | VariablesInvalid) or rejection.of(error):
            return [_never_called(model, f"never called: it rejects the made-up variables {shown}")]
        fault = from_exception(error, model.spec, "example")
        wrong = isinstance(error, ModelRaised)  # what it has returned
        message = f"it fails, called with the made-up variables {shown}: "
        message += str(error) if wrong else fault.message
        hint = "return a dict" if wrong else fault.hint or ADD
        return [ModelWarning("failed-call", message, fault.file, fault.line, hint)]
    return []


def failed(how: str) -> ModelWarning:
    """Return the warning of a model that has not come back from its made-up call."""
    return ModelWarning("failed-call", f"called with made-up variables, it {how}", hint=ADD)


def _never_called(model: LoadedModel, message: str) -> ModelWarning:
    """Return the warning of a model that nobody has called: the worse if its type tells more."""
    if returned := _no_dict(model):
        text = f"by its annotation it returns {returned}, and an answer is a dict"
        return ModelWarning("no-dict", f"{text}; {message}", convention.FILE, hint=ADD)
    return ModelWarning("never-called", message, hint=ADD)


def _no_dict(model: LoadedModel) -> str:
    """Return the name of the type of a model's result, if it cannot be an object of JSON."""
    method = calls.method_of(model.instance, convention.METHOD)
    hints: Mapping[str, Any] = {}
    with suppress(Exception):  # annotations may be of modules that are imported for types alone
        hints = get_type_hints(method)
    if method is None or "return" not in hints:
        return ""
    kind = get_origin(hints["return"]) or hints["return"]
    if not isinstance(kind, type) or not (issubclass(kind, NO_DICT) or kind.__name__ in ARRAYS):
        return ""
    return "None" if kind is type(None) else kind.__name__
