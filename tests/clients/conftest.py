"""A service with the examples and models of every kind of annotation, for generated clients."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from scripts import clients
from tests.fixtures.service import Service, serving, write_example, write_model
from tests.waiting import patient

ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-the-tests"

PRICE = """
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, Field


class Row(BaseModel):
    rooms: Annotated[int, Field(le=1000)]
    kind: Literal["flat", "house"] = "flat"


@dataclass
class Price:
    price: float
    currency: str = "EUR"
    note: str | None = None


class Model:
    def transform_predict(
        self,
        row: Row,
        factor: Annotated[float, Field(ge=0, le=10)] = np.float64(1.5),
        seed: int = 2**70,
    ) -> Price:
        if row.rooms < 0:
            raise Refused("there is no such flat")
        return Price(row.rooms * factor)


class Refused(Exception):
    status_code = 418
"""

UNTYPED = "class Model:\n    def transform_predict(self, a: int):\n        return {'b': [a / 2]}\n"


@pytest.fixture(scope="session", autouse=True)
def _installed() -> None:
    if why := clients.missing():
        pytest.skip(why)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """All examples of the repository, a typed and an untyped model; each scope takes the token."""
    folder = tmp_path_factory.mktemp("clients")
    models = folder / "models_serve"
    shutil.copytree(ROOT / "models_serve", models)
    write_model(models, "Price", PRICE)
    write_example(write_model(models, "Untyped", UNTYPED), {"a": 3}, {"b": [1.5]})
    tokens = {f"MODELSYNC_{scope}_TOKENS": TOKEN for scope in ("PREDICT", "TRAIN", "ADMIN")}
    with serving(folder, models, env={"MODELSYNC_ACCESS_LOG": "errors", **tokens}) as found:
        yield found


@pytest.fixture(scope="session")
def document(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the service's document."""
    answer = requests.get(
        f"{service.base}/openapi.json",
        headers={"Authorization": f"Bearer {TOKEN}"},
        timeout=patient(60),
    )
    assert answer.status_code == 200
    assert "/models/Price" in json.loads(answer.text)["paths"]
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_text(answer.text)
    return file
