"""`transform_predict_batch`: its rows, its results, and that it answers as a single call does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from modelsync.errors import ModelBroken, ModelRaised, VariablesInvalid
from modelsync.models.check.checker import check
from modelsync.models.discovery.folders import discover
from modelsync.models.types import CheckResult
from tests.models.code import bind, call_batch, fault_of, schema_of
from tests.models.conftest import Find, Load, Write
from tests.waiting import patient

TYPES = """
import dataclasses, typing
import pandas as pd
import pydantic

class Customer(pydantic.BaseModel):
    age: int
    plan: str = "small"

@dataclasses.dataclass
class Plain:
    age: int
    plan: str = "small"

class Typed(typing.TypedDict):
    age: int
"""
KINDS = "[{'kind': type(row).__name__, 'row': row} for row in rows]"


def churn(
    batch: str = "rows", body: str = f"return {KINDS}", single: str = "", top: str = TYPES
) -> str:
    """A class with a batch method, and with a single method where its parameters are given."""
    both = f"    def transform_predict(self, {single}):\n        return {{}}\n" if single else ""
    return (
        f"{top}\nclass Churn:\n{both}    def transform_predict_batch(self, {batch}):\n"
        f"        {body}\n"
    )


def rows_of(model: Any, *variables: Any) -> list[Any]:
    """The rows that the method received for these variables."""
    return [result["row"] for result in model.call_batch([model.bind(one) for one in variables])]


def test_it_is_called_once_with_all_rows(serve: Any) -> None:
    """The method returns as many dicts as rows, in the same order."""
    model = serve(
        churn(
            body="self.calls = getattr(self, 'calls', 0) + 1; return [{'x': r['x'] * 2} for r in "
            "rows]"
        )
    )
    assert call_batch(model, [bind(model, {"x": x}) for x in range(5)]) == [
        {"x": x * 2} for x in range(5)
    ]
    assert model.instance.calls == 1


def test_it_may_be_the_only_method(serve: Any) -> None:
    """A single request is answered by a batch of one row."""
    model = serve(churn())
    assert model.call({"age": 3}) == {"kind": "dict", "row": {"age": 3}}
    assert model.schema is None


def test_a_model_without_it_takes_no_batches(serve: Any) -> None:
    """Models without a batch method have none to call."""
    model = serve("class Churn:\n    def transform_predict(self, variables):\n        return {}\n")
    assert (model.bind, model.call_batch) == (None, None)


@pytest.mark.parametrize(
    "rows", ["rows", "rows: list", "rows: 'list'", "rows: list[dict]", "rows: list[object]"]
)
def test_rows_are_dicts(serve: Any, rows: Any) -> None:
    """Rows are dicts where no annotation tells otherwise."""
    assert rows_of(serve(churn(rows)), {"a": 1}, {"b": {"c": 2}}) == [{"a": 1}, {"b": {"c": 2}}]


@pytest.mark.parametrize("kind", ["Customer", "Plain"])
@pytest.mark.parametrize(
    "given", [("rows: list[{}]", ""), ("rows", "customer: {}"), ("rows: list", "customer: {}")]
)
def test_rows_are_validated_instances(serve: Any, kind: Any, given: Any) -> None:
    """Rows, or else the single method's parameter, are annotated with the type of instances."""
    batch, single = (part.format(kind) for part in given)
    model = serve(churn(batch, single=single))
    [row] = rows_of(model, {"age": 3, "more": 1})
    assert (type(row).__name__, row.age, row.plan) == (kind, 3, "small")
    assert schema_of(model)["required"] == ["age"]
    with pytest.raises(VariablesInvalid, match="age: Field required"):
        bind(model, {})


def test_rows_are_typed_dicts(serve: Load) -> None:
    """A TypedDict is validated too."""
    model = serve(churn("rows: list[Typed]"))
    assert rows_of(model, {"age": "3"}) == [{"age": 3}]
    with pytest.raises(VariablesInvalid):
        bind(model, {"age": "old"})


@pytest.mark.parametrize("rows", ["rows", "rows: list", "rows: list[dict]"])
def test_rows_hold_the_arguments_of_the_single_method(serve: Any, rows: Any) -> None:
    """Rows are validated, converted and have defaults; other variables are dropped."""
    model = serve(churn(rows, single="age: int, plan: str = 'small', limit: float | None = None"))
    assert rows_of(model, {"age": "3", "more": 1}, {"age": 4, "plan": "large"}) == [
        {"age": 3, "plan": "small", "limit": None},
        {"age": 4, "plan": "large", "limit": None},
    ]
    assert schema_of(model)["required"] == ["age"]
    with pytest.raises(VariablesInvalid, match="age"):
        bind(model, {"plan": "large"})


def test_dicts_that_are_asked_for_are_checked_as_the_single_method_would(serve: Any) -> None:
    """`list[dict]` beside a pydantic parameter gets dicts unchanged, and refuses bad ones."""
    model = serve(churn("rows: list[dict]", single="customer: Customer"))
    assert rows_of(model, {"age": 3}) == [{"age": 3}]
    with pytest.raises(VariablesInvalid):
        bind(model, {})


def test_rows_are_one_dataframe(serve: Any) -> None:
    """A DataFrame has one row per request, flattened as `json_normalize` does."""
    model = serve(
        churn("rows: pd.DataFrame", "self.seen = rows; return [{'age': int(a)} for a in rows.age]")
    )
    assert call_batch(model, [{"age": 1, "o": {"k": 2}}, {"age": 5, "o": {"k": 3}}]) == [
        {"age": 1},
        {"age": 5},
    ]
    assert list(model.instance.seen.columns) == ["age", "o.k"]
    assert model.call({"age": 7}) == {"age": 7}


def test_a_tuple_or_a_dataframe_may_be_returned(serve: Any) -> None:
    """A tuple, a generator or a DataFrame with one row per request stands for a list."""
    assert serve(churn(body="return tuple(rows)")).call_batch([{}, {}]) == [{}, {}]
    assert serve(churn(body="yield from rows"), name="Gen").call_batch([{}, {}]) == [{}, {}]
    model = serve(churn("rows: pd.DataFrame", "return rows[['a']] * 2"), name="Other")
    assert call_batch(model, [{"a": 1}, {"a": 2}]) == [{"a": 2}, {"a": 4}]


@pytest.mark.parametrize(
    "body", ["return None", "return {}", "return map(dict, rows)", "return 'ab'"]
)
def test_anything_else_is_told(serve: Any, body: str) -> None:
    """A result of another type is refused, and its type named."""
    with pytest.raises(ModelRaised, match="not a list"):
        call_batch(serve(churn(body=body)), [{}])


def test_an_exception_in_the_list_is_that_requests_own(serve: Any) -> None:
    """An exception in the list fails one request; in a single call it is raised."""
    model = serve(churn(body="return [ValueError('bad') if 'bad' in row else {} for row in rows]"))
    good, bad = call_batch(model, [{}, {"bad": 1}])
    assert good == {}
    assert isinstance(bad, ValueError)
    with pytest.raises(ValueError, match="bad"):
        model.call({"bad": 1})
    with pytest.raises(ModelRaised, match="0 results for 1 row"):
        serve(churn(body="return []"), name="Empty").call({})


# --- what is refused ------------------------------------------------------------------------------


def test_async_batches_are_refused_before_anything_runs(write: Write, find: Find) -> None:
    """The static analysis refuses them, with line and hint."""
    write("A", churn(top="import nothing_there").replace("    def t", "    async def t"))
    write(
        "B",
        churn(single="variables").replace(
            "    def transform_predict(", "    async def transform_predict("
        ),
    )
    for name in ("A", "B"):
        fault = fault_of(find(name))
        assert fault.stage == "static"
        assert "a batch is called, not awaited" in fault.message
        assert fault.line
        assert "plain def" in str(fault.hint)


@pytest.mark.parametrize("signature", ["", "a, b", "rows, *, k", "*, rows", "rows, more, k=1"])
def test_a_method_that_takes_no_rows_is_refused(write: Write, find: Find, signature: Any) -> None:
    """The hint shows the signature that it should have."""
    write("Churn", churn(signature))
    assert (
        fault_of(find("Churn")).message
        == "transform_predict_batch must take one argument: the rows"
    )
    assert "def transform_predict_batch(self, rows: list) -> list" in str(
        fault_of(find("Churn")).hint
    )


@pytest.mark.parametrize(
    "signature", ["rows, k=1", "*rows", "rows, *more", "rows=None", "rows, **more", "rows, *, k=1"]
)
def test_other_parameters_may_be_optional(serve: Any, signature: Any) -> None:
    """The method is called with one argument."""
    assert serve(churn(signature, "return [{}]")).call_batch([{}]) == [{}]


@pytest.mark.parametrize(
    "kind", ["int", "dict", "Customer", "list[int]", "dict[str, list]", "set[dict]"]
)
def test_rows_of_another_type_are_refused(serve: Any, kind: Any) -> None:
    """The fault at load names the type, and the types that are possible."""
    with pytest.raises(ModelBroken, match=r"rows: .* is no list of rows \(take list, list\[dict\]"):
        serve(churn(f"rows: {kind}"))


def test_inherited_methods_count(serve: Any) -> None:
    """A base in the same file or in a helper counts; mistakes of the latter are found at load."""
    base = (
        "class Base:\n    {kind} transform_predict_batch(self, {rows}):\n"
        "        return [{{}} for _ in rows]\n"
    )
    own = "from base import Base\nclass {}(Base):\n    pass\n".format
    good = {"base.py": base.format(kind="def", rows="rows")}
    assert call_batch(
        serve(good["base.py"] + "class Churn(Base):\n    pass\n", name="Same"), [{}]
    ) == [{}]
    assert call_batch(serve(own("Helper"), good, name="Helper"), [{}, {}]) == [{}, {}]
    with pytest.raises(ModelBroken, match="not awaited"):
        serve(own("Async"), {"base.py": base.format(kind="async def", rows="rows")}, name="Async")
    with pytest.raises(ModelBroken, match="must take one argument"):
        serve(own("Many"), {"base.py": base.format(kind="def", rows="rows, more")}, name="Many")
    single = (
        "from base import Base\nclass Churn(Base):\n    async def transform_predict(self):\n"
        "        return {}\n"
    )
    with pytest.raises(ModelBroken, match="not awaited"):
        serve(single, good, name="Beside")


def test_a_batch_method_that_writes_to_self_is_seen(write: Write, find: Find) -> None:
    """Calls of such a model must not overlap."""
    write("Churn", churn(body="self.count += len(rows); return rows"))
    write("Other", churn(body="return rows"))
    assert (find("Churn").writes_self, find("Other").writes_self) == (True, False)


# --- the check ------------------------------------------------------------------------------------

EXAMPLES = {f"examples/{x}.json": f'{{"variables": {{"x": {x}}}}}' for x in (1, 2, 3)}
SINGLE = "class Churn:\n    def transform_predict(self, x: float):\n        return {'y': x / 3}\n"


def result(root: Path) -> CheckResult:
    [found] = check(discover(root), timeout=patient(30), environ=os.environ)
    return found


def batched(body: str, single: str = SINGLE) -> str:
    return f"{single}    def transform_predict_batch(self, rows):\n        {body}\n"


@pytest.mark.parametrize(
    "body",
    [
        "return [{'y': row['x'] / 3} for row in rows]",
        # 32 bits, or another order of summing
        "return [{'y': row['x'] / 3 * (1 + 1e-7)} for row in rows]",
        "import time; return [{'y': row['x'] / 3} for row in rows]",
    ],
)
def test_a_batch_that_answers_alike_passes(root: Path, write: Write, body: str) -> None:
    """Rounding is no difference between a batch and a single call."""
    write("Churn", batched(body), EXAMPLES)
    assert result(root).fault is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return [{'y': row['x']} for row in rows]",
            "gets another answer than alone: y: expected 0.33",
        ),
        (
            "return [{'y': row['x'] / 3} for row in reversed(rows)]",
            "gets another answer than alone: y",
        ),
        (
            "return [{'y': x / 3} for x in sorted({row['x'] for row in rows})]",
            "returned 3 results for 4 rows",
        ),
        ("return [rows[0]] * len(rows)", "the response has no"),
        ("return [{'y': row['x'] / 3} for row in rows[:2]]", "returned 2 results for 4 rows"),
        ("return None", "not a list"),
        ("raise KeyError('gone')", "KeyError"),
        ("return [ValueError('bad')] * len(rows)", "ValueError: bad"),
        ("return [{'y': object()}] * len(rows)", "JSON cannot hold"),
    ],
)
def test_a_batch_that_answers_otherwise_is_broken(
    root: Path, write: Write, body: str, message: Any
) -> None:
    """Rows that are mixed up, dropped, joined or computed otherwise fail their example."""
    write("Churn", batched(body), EXAMPLES)
    fault = fault_of(result(root))
    assert fault.stage == "example"
    assert message.replace("the response has no", "has no") in str(fault)


def test_a_model_that_never_answers_twice_alike_is_not_compared(root: Path, write: Write) -> None:
    """A random number or the time differs in single calls as well."""
    single = (
        "import random\nclass Churn:\n    def transform_predict(self, x):\n"
        "        return {'y': random.random()}\n"
    )
    write("Churn", batched("return [{'y': random.random()} for _ in rows]", single), EXAMPLES)
    assert result(root).fault is None


def test_a_batch_method_alone_is_compared_too(root: Path, write: Write) -> None:
    """A mean over the batch answers differently for each batch, and is found."""
    write(
        "Churn",
        churn(
            body="m = sum(r['x'] for r in rows) / len(rows); return [{'y': r['x'] - m} for r in "
            "rows]"
        ),
    )
    for file, text in EXAMPLES.items():
        write("Churn", files={file: text})
    assert "gets another answer than alone" in str(result(root).fault)


def test_dataframes_are_as_those_of_single_calls(serve: Any) -> None:
    """The same variables give the same columns and types."""
    model = serve(churn("rows: pd.DataFrame", "self.seen = rows; return [{}] * len(rows)"))
    variables = {"a": 1, "b": "x", "c": 1.5, "d": None}
    call_batch(model, [variables, variables])
    both = model.instance.seen
    pd.testing.assert_frame_equal(both.iloc[:1], pd.json_normalize(variables))
