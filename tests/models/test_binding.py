"""How variables reach the method: one test for each row of the README's table."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from modelsync.errors import ModelBroken, VariablesInvalid
from tests.models.code import fault_of, schema_of
from tests.models.conftest import Load

PYDANTIC = """
import pydantic

class Customer(pydantic.BaseModel):
    age: int
    tags: dict[str, list[float]] = {}

class Churn:
    def transform_predict(self, customer: Customer):
        return {"kind": type(customer).__name__, "age": customer.age}
"""
DATACLASS = """
import dataclasses, datetime

@dataclasses.dataclass
class Customer:
    age: int
    since: datetime.date = None

class Churn:
    def transform_predict(self, customer: Customer):
        return {"kind": type(customer).__name__, "age": customer.age}
"""
TYPED_DICT = """
import typing

class Inner(typing.TypedDict):
    x: int

class Customer(typing.TypedDict):
    age: int
    inner: typing.NotRequired[list[Inner]]

class Churn:
    def transform_predict(self, customer: Customer):
        return {"kind": type(customer).__name__, **customer}
"""


def model(
    signature: str, body: str = "return locals()", head: str = "", name: str = "Churn"
) -> str:
    return f"{head}\nclass {name}:\n    def transform_predict({signature}):\n        {body}\n"


def invalid(call: Callable[..., Any], variables: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(VariablesInvalid) as caught:
        call(variables)
    return {item.field: item.message for item in caught.value.fields}


def test_no_parameter_gets_nothing(serve: Load) -> None:
    """A method without parameters is called with none."""
    loaded = serve(model("self", "return {'x': 1}"))
    assert loaded.call({"a": 1}) == {"x": 1}
    assert loaded.schema == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    "signature",
    [
        "self, rows",
        "self, rows=None",
        "self, rows: dict",
        "self, rows: dict[str, Any]",
        "self, rows: Dict",
        "self, rows: Mapping[str, Any]",
        "self, rows: 'dict'",
        "self, rows: Optional[dict] = None",
        "self, rows: dict | None = None",
        "self, rows: Any",
        "self, rows: object",
        "self, rows: dict, *args, **kwargs",
        "self, rows, /",
    ],
)
@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_one_dict_gets_the_object_itself(serve: Any, signature: Any, future: Any) -> None:
    """One parameter that is a dict or without annotation gets the very object, uncopied."""
    loaded = serve(
        model(signature, "return rows", f"{future}from typing import Any, Dict, Mapping, Optional")
    )
    variables = {"a": 1, "b": {"c": [1]}}
    assert loaded.call(variables) is variables
    assert loaded.call == loaded.instance.transform_predict
    assert loaded.schema is None


def test_one_keyword_only_dict(serve: Any) -> None:
    """A keyword-only parameter is passed by name."""
    assert serve(model("self, *, rows: dict", "return rows")).call({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("signature", "head", "name"),
    [
        ("self, rows: pd.DataFrame", "import pandas as pd", "Churn"),
        (
            "self, rows: pandas.DataFrame",
            "from __future__ import annotations\nimport pandas",
            "Churn",
        ),
        ("self, rows: 'DataFrame | None' = None", "from pandas import DataFrame", "Churn"),
        (
            "self, rows: 'pd.DataFrame'",
            "import typing\nif typing.TYPE_CHECKING:\n    import pandas as pd",
            "Churn",
        ),
        ("self, rows", "", "transform_predict"),
        ("self, rows=None", "", "transform_predict"),
    ],
)
def test_one_dataframe_gets_one_row(serve: Load, signature: str, head: str, name: str) -> None:
    """An annotated DataFrame, or the original convention, gets what json_normalize gives."""
    loaded = serve(model(signature, "return {'rows': rows}", head, name))
    variables = {"age": 3, "name": "x", "inner": {"a": 1.5}, "list": [1, 2]}
    pd.testing.assert_frame_equal(loaded.call(variables)["rows"], pd.json_normalize(variables))
    assert loaded.call({})["rows"].shape == (1, 0)


def test_the_original_class_may_ask_for_a_dict(serve: Load) -> None:
    """An annotation wins over the name of the class."""
    assert serve(model("self, rows: dict", "return rows", name="transform_predict")).call(
        {"a": 1}
    ) == {"a": 1}


def test_pandas_is_imported_only_where_it_is_needed(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that takes a dict does not import pandas."""
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    serve(model("self, rows", "return {}"))
    with pytest.raises(ModelBroken, match="pandas"):
        serve(model("self, rows", "return {}", name="transform_predict"), name="Other")


@pytest.mark.parametrize(
    ("etls", "kind"), [(PYDANTIC, "Customer"), (DATACLASS, "Customer"), (TYPED_DICT, "dict")]
)
@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_structures_are_validated(serve: Any, etls: Any, kind: Any, future: Any) -> None:
    """A pydantic model, dataclass or TypedDict is validated, and gives the schema."""
    loaded = serve(future + etls)
    assert loaded.call({"age": "42"}) == {"kind": kind, "age": 42}
    assert schema_of(loaded)["required"] == ["age"]
    assert schema_of(loaded)["properties"]["age"]["type"] == "integer"
    assert list(invalid(loaded.call, {"age": "x"})) == ["age"]
    assert invalid(loaded.call, {}) == {"age": "Field required"}


def test_nested_fields_are_named_with_dots(serve: Load) -> None:
    """Each bad field is named with its place, all of them at once."""
    loaded = serve(PYDANTIC)
    assert list(invalid(loaded.call, {"age": "x", "tags": {"k": [1, "z"]}})) == ["age", "tags.k.1"]
    loaded = serve(TYPED_DICT, name="Other")
    assert list(invalid(loaded.call, {"age": 1, "inner": [{"x": "y"}]})) == ["inner.0.x"]


def test_an_optional_structure_and_a_choice_of_two(serve: Load) -> None:
    """`Customer | None` is Customer; a union takes the one that fits."""
    head = (
        "import pydantic\nclass A(pydantic.BaseModel):\n    a: int\nclass B(pydantic.BaseModel):\n"
        "    b: int\n"
    )
    call = serve(
        model("self, it: A | None = None", "return {'kind': type(it).__name__}", head)
    ).call
    assert call({"a": 1}) == {"kind": "A"}
    call = serve(
        model("self, it: A | B", "return {'kind': type(it).__name__}", head), name="Other"
    ).call
    assert call({"b": 1}) == {"kind": "B"}


def test_several_are_bound_by_name(serve: Any) -> None:
    """Several parameters are validated, converted and defaulted; other variables are dropped."""
    loaded = serve(
        model(
            "self, age: int, name: str = 'x', *, since: datetime.date = None, kind: Literal['a', "
            "'b'] = 'a'",
            "return {'age': age, 'name': name, 'since': since, 'kind': kind}",
            "import datetime\nfrom typing import Literal",
        )
    )
    assert loaded.call({"age": 1, "more": 2}) == {"age": 1, "name": "x", "since": None, "kind": "a"}
    assert str(loaded.call({"age": 1, "since": "2020-01-02"})["since"]) == "2020-01-02"
    assert loaded.call({"age": 1, "since": None})["since"] is None
    assert list(invalid(loaded.call, {"kind": "c"})) == ["age", "kind"]
    assert schema_of(loaded)["required"] == ["age"]
    assert schema_of(loaded)["properties"]["name"] == {
        "default": "x",
        "title": "Name",
        "type": "string",
    }


def test_one_plain_type_is_bound_by_name(serve: Load) -> None:
    """One parameter of a plain type takes the variable of its name."""
    loaded = serve(model("self, age: int", "return {'age': age}"))
    assert loaded.call({"age": "7"}) == {"age": 7}
    assert invalid(loaded.call, {"years": 7}) == {"age": "Field required"}


@pytest.mark.parametrize(
    ("signature", "variables", "result"),
    [
        ("self, a, b=2", {"a": [1]}, {"a": [1], "b": 2}),
        ("self, a, b=None", {"a": 1, "b": 3, "c": 4}, {"a": 1, "b": 3}),
        ("self, a: int, /, b: float = 2.5", {"a": 1}, {"a": 1, "b": 2.5}),
        ("self, a: int, **more", {"a": 1, "b": 2}, {"a": 1, "more": {"b": 2}}),
        ("self, **more", {"a": 1, "b": 2}, {"more": {"a": 1, "b": 2}}),
        ("self, *args", {"a": 1}, {"args": ({"a": 1},)}),
        ("self, *args, **kwargs", {"a": 1}, {"args": (), "kwargs": {"a": 1}}),
        ("self, a: int = 1, b: int = 2, /", {"b": 5}, {"a": 1, "b": 5}),
        (
            "self, schema: int, model_config: int, _x: int = 1",
            {"schema": 1, "model_config": 2},
            None,
        ),
        ("self, a: 'list[int]', b: 'int | None' = None", {"a": ["1"]}, {"a": [1], "b": None}),
    ],
)
def test_signatures_of_all_kinds(serve: Any, signature: Any, variables: Any, result: Any) -> None:
    """Names of pydantic's own, positional-only, variadic, untyped and quoted ones all work."""
    got = serve(model(signature)).call(variables)
    got.pop("self")
    assert got == (result or {"schema": 1, "model_config": 2, "_x": 1})


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        ("self, a: socket.socket, b: int", "parameter a: socket cannot be filled from JSON"),
        ("self, a: 'Nope'", "parameter a: Nope cannot be filled from JSON: NameError"),
    ],
)
def test_a_signature_that_json_cannot_fill_is_refused_at_load(
    serve: Load, signature: str, told: str
) -> None:
    """The parameter is named when the model loads, not at the first request."""
    with pytest.raises(ModelBroken, match=told) as caught:
        serve(model(signature, head="import socket"))
    assert fault_of(caught.value).stage == "load"


@pytest.mark.parametrize("signature", ["self", "self, rows", "self, a: int"])
def test_async_methods_return_an_awaitable(serve: Load, signature: str) -> None:
    """`async def` works in each form."""
    loaded = serve(model(signature, "return {'x': 1}").replace("def", "async def"))
    assert loaded.is_async
    assert asyncio.run(loaded.call({"a": 1})) == {"x": 1}


def test_validation_errors_of_the_models_own_code_are_its_own(serve: Load) -> None:
    """A model that raises pydantic's error while it predicts did not get bad variables."""
    head = "import pydantic\nclass A(pydantic.BaseModel):\n    a: int\n"
    loaded = serve(model("self, a: int", "A(a='x')", head))
    with pytest.raises(ValueError, match="validation error for A"):
        loaded.call({"a": 1})


def test_an_input_that_is_changed_reaches_nobody_else(serve: Any) -> None:
    """Defaults and schemas that one request changes are unchanged for the next."""
    loaded = serve(model("self, a: list[int], b: list = None", "a.append(1); return {'a': a}"))
    variables = {"a": [0]}
    assert [loaded.call(dict(variables))["a"] for _ in range(2)] == [[0, 1], [0, 1]]
    assert variables == {"a": [0]}
