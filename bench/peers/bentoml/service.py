"""A service class with one API per model, as BentoML's documentation has it."""

from typing import Any

import bentoml
from twomodels import FEATURES, classify, iris, score


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Models:
    def __init__(self) -> None:
        iris()

    @bentoml.api(route="/score")
    async def score(self, variables: dict[str, float]) -> dict[str, Any]:
        found: dict[str, Any] = score(variables["a"], variables["b"])
        return found

    @bentoml.api(route="/iris")
    async def iris(self, variables: dict[str, float]) -> dict[str, Any]:
        found: dict[str, Any] = classify([variables[name] for name in FEATURES])
        return found
