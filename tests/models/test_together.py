"""The check of all models of the workers in one process: the one that is new makes way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelsync.models.check.checker import check
from modelsync.models.discovery.folders import discover
from modelsync.models.types import CheckResult, ModelName, ModelSpec
from modelsync.releases import answers
from tests.models.conftest import Write
from tests.waiting import patient

COUNTED = """
from prometheus_client import Counter
ANSWERED = Counter("predictions_of_a_test", "answers given")
class M:
    def transform_predict(self, x: int = 0):
        return {"y": x * 2}
"""
EXAMPLE = {"examples/a.json": '{"variables": {"x": 2}}'}


def reads(name: str = "M") -> str:
    """A model that depends on a variable of the environment, which it sets if there is none."""
    return f"""
import os
os.environ.setdefault("MODE_OF_A_TEST", {name!r})
class M:
    def transform_predict(self, x: int = 0):
        return {{"y": os.environ["MODE_OF_A_TEST"]}}
"""


def found(
    root: Path, served: dict[str, CheckResult] | None = None
) -> tuple[dict[str, CheckResult], dict[str, ModelSpec]]:
    """The results of the models that are not served already, and all models."""
    specs: dict[str, ModelSpec] = {spec.name: spec for spec in discover(root)}
    served = served or {}
    results = check(
        [spec for name, spec in specs.items() if name not in served],
        timeout=patient(30),
        environ=os.environ,
        served=[(specs[name], result) for name, result in served.items()],
    )
    return {result.name: result for result in results}, specs


def test_a_metric_registered_twice_moves_the_later_one(root: Path, write: Write) -> None:
    """Of two new ones the second; the third is not touched (g04)."""
    for name in ("A", "B"):
        write(name, COUNTED, EXAMPLE)
    write("C", reads(), EXAMPLE)
    places = {name: one.placement for name, one in found(root)[0].items()}
    assert {name: one.place for name, one in places.items()} == {
        "A": "worker",
        "B": "runner",
        "C": "worker",
    }
    assert "beside the other models it does not load" in places["B"].reason
    assert "Duplicated timeseries" in places["B"].reason


def test_the_one_that_serves_stays(root: Path, write: Write) -> None:
    """The new one makes way, although it comes first in the order of names (g04)."""
    write("Wine", COUNTED, EXAMPLE)
    served, _ = found(root)
    write("Churn", COUNTED, EXAMPLE)
    results, _ = found(root, served)
    assert results.keys() == {"Churn"}
    assert results["Churn"].placement.place == "runner"


@pytest.mark.parametrize("name", ["A", "Z"])
def test_an_answer_that_changes_beside_others_moves_the_new_one(
    root: Path, write: Write, name: str
) -> None:
    """Also if it is the other's answer: the reason names that model."""
    write("Good", reads("good"), EXAMPLE)
    served, _ = found(root)
    write(name, reads("new"), EXAMPLE)
    results, _ = found(root, served)
    placement = results[name].placement
    assert placement.place == "runner", placement
    assert "gets another answer" in placement.reason


def test_a_model_that_ends_the_process_beside_others_moves(root: Path, write: Write) -> None:
    """A crash or a hang in this check blames the model, and the others stay."""
    ends = "import os\nif os.environ.get('FIRST_OF_A_TEST'): os._exit(3)\n"
    write("A", f"import os\nos.environ['FIRST_OF_A_TEST'] = '1'\n{reads()}", EXAMPLE)
    write("B", ends + reads(), EXAMPLE)
    write("C", reads(), EXAMPLE)
    places = {name: one.placement for name, one in found(root)[0].items()}
    assert (places["A"].place, places["B"].place, places["C"].place) == (
        "worker",
        "runner",
        "worker",
    )
    assert "ends the process" in places["B"].reason


def test_what_is_wrong_without_the_new_one_does_not_move_it(root: Path, write: Write) -> None:
    """A model that serves and answers otherwise today is nobody's fault."""
    write("Good", reads("good"), EXAMPLE)
    served, _ = found(root)
    old = {name: CheckResult(name, one.version, answers=({"y": "then"},))
           for name, one in ((ModelName("Good"), served["Good"]),)}  # fmt: skip
    write("New", COUNTED, EXAMPLE)
    results, _ = found(root, {str(name): one for name, one in old.items()})
    assert results["New"].placement.place == "worker"


def test_answers_are_kept_with_the_version(tmp_path: Path, root: Path, write: Write) -> None:
    """Those of another version, damaged or huge ones are not compared."""
    write("A", COUNTED, EXAMPLE)
    write("B", COUNTED.replace("{", "{'long': 'x' * 99999, ").replace("predictions", "p"), EXAMPLE)
    results, _ = found(root)
    assert results["A"].answers == ({"y": 4},)
    answers.write(tmp_path, results.values())
    versions = {ModelName(name): one.version for name, one in results.items()}
    assert answers.read(tmp_path, versions) == {"A": ({"y": 4},)}
    assert answers.read(tmp_path, {ModelName("A"): "another"}) == {}
    (tmp_path / answers.FILE).write_text("{")
    assert answers.read(tmp_path, versions) == {}
    assert answers.read(tmp_path / "nowhere", versions) == {}
