"""Runners with another Python than the service's: without orjson, with pydantic 1 or none.

The release is given such an environment by hand; `modelsync.environments` makes real ones.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.service import Service, answers, serving, write_model
from tests.waiting import patient

pytestmark = pytest.mark.long

PLAIN = """
import datetime, decimal, enum, sys, uuid
class Colour(enum.Enum):
    RED = "red"
class Plain:
    "Without libraries."
    def transform_predict(self, a: float, n: int = 2, words: list[str] | None = None,
                          colour: Colour = Colour.RED, **more):
        return {
            "y": a * n, "words": words, "colour": colour, "more": more, "nan": float("nan"),
            "when": datetime.datetime(2026, 1, 2, 3), "d": decimal.Decimal("0.10"),
            "big": 2 ** 70, "id": uuid.UUID(int=1), 3: {1}, "é": "ü\\ud800",
            "modules": sorted({"orjson", "pydantic"} & sys.modules.keys()),
        }
"""

DATA = """
import dataclasses, typing
@dataclasses.dataclass
class Point:
    x: float
    y: float = 1.0
class Data:
    def transform_predict(self, point: Point):
        return {"sum": point.x + point.y}
"""

OLD = """
import pydantic
class Row(pydantic.BaseModel):
    age: int
    name: str = "x"
    @pydantic.validator("age")
    def positive(cls, value):
        if value < 0: raise ValueError("must not be negative")
        return value
class Old:
    def transform_predict(self, row: Row):
        return {"age": row.age, "pydantic": pydantic.VERSION[0], "row": row}
"""

ANSWER = {
    "y": 3.0, "words": ["a"], "colour": "red", "more": {"z": 1}, "nan": None,
    "when": "2026-01-02T03:00:00", "d": 0.1, "big": 2**70,
    "id": "00000000-0000-0000-0000-000000000001", "3": [1], "é": "ü?",
}  # fmt: skip


def in_environment(service_home: Path, name: str) -> None:
    """Have the models of the current release, but for a model `Here`, run in the environment
    `name`.
    """
    routes = service_home / "current" / "serve_models.py"
    routes.chmod(0o644)
    old = routes.read_text()
    new = re.sub(r'class_name=(?!"Here")', f'environment="{name}", class_name=', old)
    assert new != old
    routes.write_text(new)


def fields(service: Service, model: str, variables: dict[str, Any]) -> dict[str, str]:
    answer = service.post(model, variables)
    assert answer.status_code == 422, answer.text
    return {one["field"]: one["message"] for one in answer.json()["errors"]}


def prepare(tmp_path: Path, *libraries: str, **models: str) -> Path:
    """A state directory whose release runs in a new environment with these libraries."""
    home = tmp_path / "home"
    for name, code in models.items():
        write_model(tmp_path / "models", name, code)
    with serving(tmp_path, tmp_path / "models"):
        pass
    environment = home / "environments" / "other"
    pip: list[str] = [] if libraries else ["--without-pip"]
    subprocess.run([sys.executable, "-m", "venv", *pip, environment], check=True)
    if libraries:
        install = [str(environment / "bin" / "pip"), "install", "--quiet", *libraries]
        subprocess.run(install, check=True, timeout=patient(120))
    in_environment(home, "other")
    return home


def test_a_python_without_any_library(tmp_path: Path) -> None:
    """Names, defaults and simple types are checked, and values written, as with the libraries."""
    prepare(tmp_path, Plain=PLAIN, Data=DATA)
    with serving(tmp_path, tmp_path / "models") as service:
        answer = service.post("Plain", {"a": "1.5", "words": ["a"], "z": 1}).json()
        assert answer.pop("modules") == []
        assert answer == ANSWER
        assert fields(service, "Plain", {"a": "x", "n": 1.5, "words": [1], "colour": "blue"}) == {
            "a": "Input should be a valid number, unable to parse string as a number",
            "n": "Input should be a valid integer, got a number with a fractional part",
            "words.0": "Input should be a valid string",
            "colour": "Input should be 'red'",
        }
        assert fields(service, "Plain", {}) == {"a": "Field required"}
        assert service.post("Data", {"x": 1}).json() == {"sum": 2.0}
        assert fields(service, "Data", {"x": None}) == {"x": "Input should be a valid number"}
        assert service.get("/models/Plain").json()["state"] == "ready"


def test_a_model_of_pydantic_1(tmp_path: Path) -> None:
    """It is validated by version 1, and so are the arguments of other models."""
    good = OLD.replace("pydantic.validator", "pydantic.field_validator")  # for the check, here
    home = prepare(tmp_path, "pydantic<2", Old=good, Plain=PLAIN, Data=DATA)
    etls = home / "current" / "models_serve" / "Old" / "etls.py"
    etls.chmod(0o644)
    etls.write_text(OLD)
    with serving(tmp_path, tmp_path / "models") as service:
        assert service.post("Old", {"age": "7"}).json() == {
            "age": 7, "pydantic": "1", "row": {"age": 7, "name": "x"},
        }  # fmt: skip
        assert fields(service, "Old", {"age": -1}) == {"age": "must not be negative"}
        answer = service.post("Plain", {"a": 1.5, "words": ["a"], "z": 1}).json()
        assert answer.pop("modules") == ["pydantic"]
        assert answer == ANSWER
        assert set(fields(service, "Plain", {"a": "x", "n": "y"})) == {"a", "n"}
        assert fields(service, "Plain", {}) == {"a": "field required"}
        assert service.post("Data", {"x": 1}).json() == {"sum": 2.0}
        assert set(fields(service, "Data", {"y": 1})) == {"x"}


def test_a_python_that_is_gone_makes_its_models_unavailable(tmp_path: Path) -> None:
    """The service is ready all the same, with those that have theirs."""
    home = prepare(tmp_path, Data=DATA, Here=answers(1, "Here"))
    (home / "environments" / "other").rename(home / "elsewhere")
    with serving(tmp_path, tmp_path / "models") as service:
        assert service.post("Here", {}).json() == {"value": 1}
        answer = service.post("Data", {"x": 1})
        assert answer.status_code == 503
        assert "the Python of its environment is missing" in answer.json()["detail"]
