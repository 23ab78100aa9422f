"""Figure 9: what it costs to check requests by a `schema.yml` of five columns, beside the same
types in the signature, and beside no types at all.
"""

from __future__ import annotations

from pathlib import Path

from bench import wrk
from bench.host import default_workers
from bench.reporting import Figure, Line, median, progress
from tests.fixtures.service import Service, serving, write_example, write_model

ROUNDS = 21
SECONDS = 1

ANSWER = 'return {"survived": row["age"] < 16}'
FREE = f"    def transform_predict(self, row: dict):\n        {ANSWER}\n"
SIGNED = f"""
from typing import Annotated, Literal, Optional, TypedDict
from pydantic import Field

class Row(TypedDict):
    cabin: Annotated[int, Field(ge=1, le=3)]
    sex: Literal["female", "male"]
    age: Annotated[float, Field(ge=0, le=120)]
    embarked: Optional[Literal["C", "Q", "S"]]
    fare: float

class Signed:
    def transform_predict(self, row: Row):
        {ANSWER}
"""
SCHEMA = """
cabin: {type: int, min: 1, max: 3}
sex: {type: str, allowed: [female, male]}
age: {type: float, min: 0, max: 120, na_value: 0}
embarked: {type: category, allowed: [C, Q, S], nullable: true}
fare: {type: float}
"""
ROW = {"cabin": 3, "sex": "male", "age": 22.5, "embarked": "S", "fare": 7.25}

PAIRS = (
    ("a model that takes any object", "Free", 1.25),
    ("types in the signature", "Signed", 1.05),
)


def measure(folder: Path) -> Figure:
    models = folder / "models"
    for name in ("Checked", "Free"):
        write_model(models, name, f"class {name}:\n{FREE}")
    (models / "Checked" / "schema.yml").write_text(SCHEMA)
    write_model(models, "Signed", SIGNED)
    for name in ("Checked", "Free", "Signed"):
        write_example(models / name, dict(ROW), {"survived": False})
    with serving(folder, models, MODELSYNC_WORKERS=default_workers()) as service:
        lines = [_compared(service, folder, *pair) for pair in PAIRS]
    notes = [
        f"wrk, {wrk.CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} s for each of the two, "
        "in turn, now the one first, now the other; ratios of neighbouring rounds.",
    ]
    title = "9. Schemas: requests that schema.yml checks, beside the same without"
    return Figure(title, "schemas", lines, notes)


def _compared(service: Service, folder: Path, what: str, other: str, target: float) -> Line:
    """The time for a request that the schema checks, to that of another model."""
    progress(what)
    costs = []
    for number in range(ROUNDS):
        names = ["Checked", other][:: 1 if number % 2 else -1]
        rates = {one: wrk.measure(service, folder, one, ROW, SECONDS).rate for one in names}
        costs.append(rates[other] / rates["Checked"])
    return median(f"time for a request, five columns, to that of {what}", costs, "times", target)
