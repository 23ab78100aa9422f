"""How a class is trained by itself is read from its source, without running it."""

from __future__ import annotations

import pytest

from modelsync.models.data_schema import NO_PLAN, TrainingPlan
from modelsync.models.discovery import training_plan
from tests.models.conftest import Find, Write

FIT = "    def fit(self, x, y): ...\n"


@pytest.mark.parametrize(
    ("body", "plan"),
    [
        (
            "    source = 'data/*.parquet'\n    target = 'y'\n    test_size = 0\n",
            TrainingPlan(("data/*.parquet",), ("y",), test_size=0.0),
        ),
        (
            "    source: tuple = ('titanic', DAYS + 'b.csv', f'{DAYS}c.csv')\n"
            "    target = ['a', 'b']\n",
            TrainingPlan(("titanic", "days/b.csv", "days/c.csv"), ("a", "b")),
        ),
        (
            "    incoming = ('SELECT * FROM s '\n        'WHERE d = {date}')\n"
            "    table = 'shop.t'\n",
            TrainingPlan(incoming="SELECT * FROM s WHERE d = {date}", table="shop.t"),
        ),
        (
            "    metric = 'auc'\n    greater_is_better = True\n    source = None\n",
            TrainingPlan(metric="auc", greater_is_better=True),
        ),
        ("    def source(self): ...\n", NO_PLAN),
    ],
)
def test_attributes_of_a_class_are_its_plan(
    write: Write, find: Find, body: str, plan: TrainingPlan
) -> None:
    """Literals, texts that are joined, and names of literals at the top of the file."""
    write("Churn", f"DAYS = 'days/'\n\nclass Churn:\n{body}{FIT}")
    assert (find("Churn").fault, find("Churn").plan) == (None, plan)


def test_a_base_of_the_folder_may_have_the_plan(write: Write, find: Find) -> None:
    """The nearest class counts, also one of another file."""
    write(
        "Churn",
        f"from base import Base\n\nclass Churn(Base):\n    target = 'mine'\n{FIT}",
        files={"base.py": "class Base:\n    source = 'a.csv'\n    target = 'theirs'\n"},
    )
    assert find("Churn").plan == TrainingPlan(("a.csv",), ("mine",))


def test_a_plain_model_has_no_plan(write: Write, find: Find) -> None:
    """Its attributes of these names mean something else."""
    write("Churn", "class Churn:\n    source = 'x'\n    def transform_predict(self, v): ...\n")
    assert find("Churn").plan == NO_PLAN


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        (
            "source = os.environ['X']",
            "etls.py:5: source is not used: it is computed when the class",
        ),
        ("source = LOOP", "etls.py:5: source is not used"),
        ("source = 5", "expected a source such as 'data/*.parquet' or 'SELECT ...', or a list"),
        (
            "test_size = 20",
            "test_size is not used: expected a share of the rows, from 0 to below 1",
        ),
        ("greater_is_better = 'yes'", "greater_is_better is not used: expected True or False"),
    ],
)
def test_what_cannot_be_read_is_a_warning(
    write: Write, find: Find, line: str, warning: str
) -> None:
    """The model is served all the same; `modelsync check` says what is not used, and why."""
    code = f"import os\nLOOP = LOOP + 'x'\n\nclass Churn:\n    {line}\n{FIT}"
    write("Churn", code)
    assert (find("Churn").fault, find("Churn").plan) == (None, NO_PLAN)
    [said] = training_plan.read(find("Churn"))[1]
    assert warning in said
