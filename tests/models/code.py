"""The code of a model, and what has been found of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from modelsync.errors import ModelBroken
from modelsync.models.types import CheckResult, Fault, LoadedModel, ModelSpec


def churn(init: str = "pass", top: str = "", predict: str = "return {}") -> str:
    """A class of the name that most tests give their folder."""
    return f"""
{top}

class Churn:
    def __init__(self, path):
        {init}

    def transform_predict(self, variables):
        {predict}
"""


def broken(serve: Callable[..., LoadedModel], *args: Any, **kwargs: Any) -> Fault:
    """The fault of a model that does not load."""
    with pytest.raises(ModelBroken) as caught:
        serve(*args, **kwargs)
    return fault_of(caught.value)


def fault_of(found: ModelSpec | CheckResult | ModelBroken) -> Fault:
    """The fault, of which there is one."""
    assert isinstance(found.fault, Fault)
    return found.fault


def schema_of(model: LoadedModel) -> dict[str, Any]:
    """The schema of the variables of a model that has one."""
    assert model.schema is not None
    return model.schema


def bind(model: LoadedModel, variables: Any) -> Any:
    """The row of a batch that these variables become."""
    assert model.bind is not None
    return model.bind(variables)


def call_batch(model: LoadedModel, rows: Sequence[Any]) -> list[Any]:
    """The results of one call with all rows."""
    assert model.call_batch is not None
    return model.call_batch(list(rows))
