"""Ordinary ways in which models are trained by themselves, one class each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelsync.continuous.failures import StepFailed
from tests.continuous.machine import MAJORITY, SCHEMA, TUESDAY, Machine, sales

pytestmark = pytest.mark.training

FIT = f"""
{MAJORITY}
class Shop:
    source = "sales.csv"

    def fit(self, x, y, **params):
        return learn(zip(x["shop"], y))

    def metrics(self, x, y):
        right = [one == other for one, other in zip(self.model.predict(x), y)]
        return {{"right": sum(right) / len(right), "rows": len(right)}}

    def accept(self, new, old):
        return new["right"] >= 0.9, "it must be right nine times of ten"
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.data.mkdir()
    return made


def put(machine: Machine, text: str, name: str = "sales.csv") -> None:
    (machine.data / name).write_text(text)


def test_a_fit_on_the_declared_source_with_own_metrics_and_accept(machine: Machine) -> None:
    machine.write("Shop", FIT, SCHEMA)
    put(machine, sales(100))
    first = machine.train()
    assert (first.outcome, first.filled) == ("promoted", None)
    assert machine.said("fill") == "nothing is filled: the class names no incoming data"
    metrics = machine.version().made.metrics
    assert metrics["right"] == 1.0
    assert first.comparison
    assert metrics["rows"] == first.comparison["rows"] > 10
    put(machine, sales(100, 60))
    second = machine.train(day=TUESDAY)
    assert second.outcome == "kept"
    assert "it must be right nine times of ten" in machine.said("promote")


def test_a_model_that_fetches_its_data_itself(machine: Machine) -> None:
    machine.write(
        "Own",
        "class Own:\n    metric = 'loss'\n    def train(self):\n"
        "        import pathlib\n"
        f"        loss = float(pathlib.Path({str(machine.data)!r}, 'loss').read_text())\n"
        "        return {'loss': loss}, {'loss': loss}\n"
        "    def transform_predict(self):\n        return self.model\n",
    )
    put(machine, "0.5", "loss")
    assert machine.train("Own").outcome == "promoted"
    assert machine.said("check") == "nothing to check: train() fetches its data itself"
    put(machine, "0.7", "loss")
    assert machine.train("Own", TUESDAY).outcome == "kept"
    assert "loss is 0.7, that of version 1 is 0.5" in machine.said("promote")
    put(machine, "0.4", "loss")
    assert machine.train("Own", TUESDAY).outcome == "promoted"


def test_a_version_of_other_columns_does_not_fail_the_run(machine: Machine) -> None:
    machine.write("Shop", FIT.replace("class Shop:", 'class Shop:\n    target = "y"'))
    put(machine, sales(100))
    machine.train()
    code = FIT.replace("class Shop:", 'class Shop:\n    target = "y"').replace(
        '["shop"]', '["place"]'
    )
    machine.write("Shop", code)
    put(machine, sales(100).replace("shop", "place"))
    run = machine.train(day=TUESDAY)
    assert run.outcome == "promoted"
    assert "version 1 cannot be evaluated with these rows" in machine.said("compare")
    assert "column shop disappeared, column place appeared" in machine.said("check")


REGRESSION = """
class Price:
    source = "prices.csv"
    target = "price"
    metric = "rmse"

    def train(self, data):
        from sklearn.linear_model import LinearRegression
        x = data.drop(columns="price")
        if len(data) > 100:
            x = x * 0
        return LinearRegression().fit(x, data["price"])
"""


def test_a_regression_is_compared_by_its_error(machine: Machine) -> None:
    machine.write("Price", REGRESSION)
    rows = [f"{n},{3 * n + n % 2}" for n in range(100)]
    put(machine, "\n".join(["size,price", *rows]), "prices.csv")
    machine.train("Price")
    assert machine.version("Price").made.metrics["r2"] > 0.99
    rows += [f"{n},{3 * n + n % 2}" for n in range(100, 150)]
    put(machine, "\n".join(["size,price", *rows]), "prices.csv")
    assert machine.train("Price", TUESDAY).outcome == "kept"
    assert "rmse is" in machine.said("promote")


def filling(body: str) -> str:
    lines = "\n".join(f"        {line}" for line in body.splitlines())
    return f"""
{MAJORITY}
class Shop:
    target = "y"
    promote = "manual"

    def train(self, data: list):
        return learn((row["shop"], row["y"]) for row in data)

    def fill(self, date):
{lines}
"""


ROWS = [{"shop": shop, "y": "yes" if shop in "ab" else "no"} for shop in "abcd" * 10]


@pytest.mark.parametrize(
    "body",
    [
        f"return {ROWS!r}",
        f"import pandas\nreturn pandas.DataFrame({ROWS!r})",
        f"rows = {ROWS!r}\nfor n in range(0, 40, 8):\n    yield rows[n:n + 8]\nyield None",
    ],
    ids=["dicts", "frame", "generator"],
)
def test_the_method_fill_brings_rows(machine: Machine, body: str) -> None:
    machine.write("Shop", filling(body))
    run = machine.train(only="fill")
    assert (run.filled, machine.said("fill")) == (40, "40 rows of fill() into table shop")


def test_the_method_fill_in_a_relative_home(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As it is unless it is set: `.modelsync` in the current folder. What it prints is logged."""
    monkeypatch.chdir(machine.folder)
    machine.values = {"MODELSYNC_HOME": ".modelsync"}
    machine.write("Shop", filling(f"print('it', 'is', date)\nreturn {ROWS!r}"))
    with caplog.at_level("INFO", "modelsync.continuous.filling"):
        assert machine.train(only="fill").filled == 40
    assert "it is 2026-11-23" in caplog.messages


def test_a_version_that_waits_for_its_promotion(machine: Machine) -> None:
    machine.write("Shop", filling(f"return {ROWS!r} if date.day == 23 else None"))
    run = machine.train()
    assert (run.outcome, run.version) == ("kept", 1)
    assert 'promote = "manual"' in machine.said("promote")
    assert machine.train(day=TUESDAY).outcome == "unchanged"
    assert machine.said("fill") == "nothing has come that day"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise OSError('the shop is closed')", r"the shop is closed \(etls.py:\d+\)"),
        ("return 'rows'", "expected a DataFrame, an Arrow table, .* it returned a str"),
        ("import os; os._exit(3)", "exit code 3"),
        ("yield [{'a': 1}]\nyield [{'b': 1}]", "its parts differ in their columns"),
    ],
    ids=["raises", "text", "exits", "parts"],
)
def test_a_fill_that_fails_says_why(machine: Machine, body: str, said: str) -> None:
    machine.write("Shop", filling(body))
    with pytest.raises(StepFailed, match=said):
        machine.train()
    run = machine.runs()[0]
    assert run.error
    assert run.error["step"] == "fill"


def test_a_fill_has_no_secrets(machine: Machine) -> None:
    machine.values = {"MODELSYNC_TRAIN_TOKENS": "hunter2"}
    machine.write(
        "Shop", filling("import os\nreturn [{'shop': k, 'y': v} for k, v in os.environ.items()]")
    )
    machine.train(only="fill")
    from pyarrow import parquet

    [file] = machine.data.glob("shop/*.parquet")
    found: Any = parquet.read_table(file).to_pylist()
    assert not [row for row in found if "hunter2" in row["y"]]
