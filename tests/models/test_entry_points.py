"""What in an `etls.py` is the model: people write it in many ways, and Python can call most."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelsync.errors import ModelBroken
from modelsync.models.discovery.overlap import find_write
from modelsync.models.loading.loader import load
from modelsync.models.types import Fault, LoadedModel
from tests.models.code import fault_of
from tests.models.conftest import Find, Load, Write

WAYS: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("entry_points.yaml").read_text()
)
SERVED = {name: way for name, way in WAYS.items() if "answer" in way}
REFUSED = {name: way for name, way in WAYS.items() if "refused" in way}


def answer(model: LoadedModel, variables: dict[str, Any]) -> Any:
    """The answer of a model, plain or `async def`."""
    if not model.is_async:
        return model.call(variables)

    async def wait() -> Any:
        return await model.call(variables)

    return asyncio.run(wait())


@pytest.mark.parametrize("name", SERVED)
def test_a_model_is_called_as_python_would_call_it(serve: Load, name: str) -> None:
    """Functions, objects, and classes of all kinds, in this file or in another one (g11, g12)."""
    way = SERVED[name]
    model = serve(way["etls"], way.get("files"), name=name)
    assert answer(model, way.get("variables", {})) == way["answer"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_called_is_refused_with_the_reason(
    write: Write, find: Find, name: str
) -> None:
    """Before any request; with the line, and with what to write (g26)."""
    way = REFUSED[name]
    write(name, way["etls"], way.get("files"))
    fault = find(name).fault or broken(find, name)
    assert way["refused"] in fault.message
    assert (fault.file, fault.line is not None) == ("etls.py", True)
    assert fault.hint


def broken(find: Find, name: str) -> Fault:
    with pytest.raises(ModelBroken) as caught:
        load(find(name))
    return fault_of(caught.value)


def test_a_function_has_a_schema_documentation_and_nothing_to_train(serve: Load) -> None:
    """It is a model like a class, but what would be its `fit` belongs to nobody."""
    model = serve(
        '"""Who leaves."""\ndef fit(x, y): ...\ndef start(): 1 / 0\n'
        "def transform_predict(x: int, y: float = 1.5): return {}\n",
        {"examples/a.json": '{"variables": {"x": 1}}'},
    )
    assert (model.spec.function, model.spec.class_name) == ("transform_predict", "")
    assert (model.spec.trainable, model.start, len(model.examples)) == (False, None, 1)
    assert model.doc == "Who leaves."
    assert model.schema
    assert model.schema["required"] == ["x"]


def test_a_function_costs_nothing_more_than_a_method(serve: Load) -> None:
    """One that takes the object is called itself: nothing stands between."""
    model = serve("def transform_predict(variables): return variables\n")
    assert inspect.isfunction(model.call)
    assert model.call.__name__ == "transform_predict"


def test_functions_take_batches(serve: Load) -> None:
    """`transform_predict_batch` is one, too; without annotation it gets the validated arguments."""
    model = serve(WAYS["FnBoth"]["etls"])
    assert model.bind
    assert model.call_batch
    assert model.call_batch([model.bind({"x": "2"}), model.bind({"x": 3})]) == [{"z": 2}, {"z": 3}]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("def transform_predict(name):\n    LAST['x'] = name\n    return {}\n", 2),
        ("def transform_predict(name):\n    global LAST\n    LAST = name\n    return {}\n", 3),
        ("def note(x):\n    LAST['x'] = x\ndef transform_predict(x): return note(x)\n", 2),
        (
            "class Model:\n    def predict(self, x):\n        self.x = x\n        return {}\n"
            "model = Model()\ntransform_predict = model.predict\n",
            3,
        ),
        (
            "class Model:\n    def __call__(self, x):\n        self.x = x\n        return {}\n"
            "transform_predict = Model()\n",
            3,
        ),
        (
            "def make():\n    seen = []\n    def predict(x):\n        seen.append(x)\n"
            "        return {}\n    return predict\ntransform_predict = make()\n",
            4,
        ),
        ("def transform_predict(rows):\n    rows['y'] = 1\n    return rows\n", None),
        ("def transform_predict(name, seen=()):\n    return {**LAST, 'x': name}\n", None),
    ],
)
def test_calls_of_a_function_wait_where_they_write_to_what_they_share(
    write: Write, find: Find, code: str, line: int | None
) -> None:
    """What a function gets is its own, what the module holds belongs to all calls (g10)."""
    write("Churn", code + "LAST = {}\n")
    found = find_write(find("Churn"))
    assert (found.line if found else None) == line
