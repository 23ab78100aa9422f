"""The code of a model, and what is wrong with it."""

from __future__ import annotations

import pytest

from modelsync.errors import ModelBroken
from modelsync.models.types import Fault


def churn(init: str = "pass", top: str = "", predict: str = "return {}") -> str:
    return f"""
{top}

class Churn:
    def __init__(self, path):
        {init}

    def transform_predict(self, variables):
        {predict}
"""


def broken(serve, *args, **kwargs) -> Fault:
    with pytest.raises(ModelBroken) as caught:
        serve(*args, **kwargs)
    return caught.value.fault
