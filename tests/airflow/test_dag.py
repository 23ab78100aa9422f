"""Days of one model by `dag.test()`: each ends as `modelsync train` ends it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from modelsync.leash import leash
from tests.airflow.installation import COMMAND, Airflow
from tests.airflow.shop import Shop
from tests.fixtures import postgres
from tests.waiting import patient, until

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("shop"))
    made.write()
    broken = made.models / "Broken"
    broken.mkdir()
    (broken / "etls.py").write_text(
        "class Broken:\n    def train(self): ...\n    def fit(self x):\n"
    )
    (made.models / "Plain").mkdir()
    (made.models / "Plain" / "etls.py").write_text(
        "class Plain:\n    def transform_predict(self, age):\n        return age\n"
    )
    return made


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Iterator[Airflow]:
    if not postgres.programs():
        pytest.skip("PostgreSQL is not installed")
    home = tmp_path_factory.mktemp("airflow")
    with postgres.PostgresServer() as server:
        environ = {**shop.settings(), "MODELSYNC_DATABASE_URL": server.make_database()}
        made = Airflow(home, environ)
        made.run("db", "migrate")
        yield made


@pytest.fixture(scope="module")
def days(airflow: Airflow) -> tuple[list[dict[str, Any]], str]:
    """How the four days of the model have ended, one after another, and all that was logged."""
    dates = ("2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04")
    output = airflow.python(HERE / "run_dags.py", "modelsync_Shop", *dates)
    return _results(output), output


def _results(output: str) -> list[dict[str, Any]]:
    marked = (line.removeprefix("result ") for line in output.splitlines() if "result {" in line)
    return [json.loads(line) for line in marked]


def test_a_better_version_is_promoted(days: tuple[list[dict[str, Any]], str]) -> None:
    """All tasks are done, and the model's asset has one event, which tells the version."""
    results, output = days
    first = results[0]
    assert first["state"] == "success", output
    assert set(first["tasks"].values()) == {"success"}
    told = {"version": 1, "metrics": {"quality": 7.0}, "date": "2026-11-01"}
    assert first["events"] == [["modelsync://models/Shop", "model", told]]


def test_unchanged_data_trains_nothing(days: tuple[list[dict[str, Any]], str], shop: Shop) -> None:
    """A day that brings nothing ends after its check; nothing is promoted, nothing is an event."""
    second = days[0][1]
    assert second["state"] == "success"
    assert second["tasks"] == {
        "datafill": "success",
        "check": "success",
        "train": "skipped",
        "compare": "skipped",
        "promote": "skipped",
    }
    assert second["events"] == []
    assert len(shop.trainings()) == 2


def test_data_that_breaks_its_schema_is_refused(days: tuple[list[dict[str, Any]], str]) -> None:
    """The task fails at once, with the cause in its exception and in the callback's line."""
    results, output = days
    third = results[2]
    assert third["state"] == "failed"
    assert third["tasks"]["datafill"] == "failed"
    assert third["tries"]["datafill"] == 1
    assert third["tasks"]["promote"] == "upstream_failed"
    assert third["events"] == []
    assert "AirflowFailException: " in output
    told = "training of Shop for 2026-11-03 failed at step fill: "
    [line] = [one for one in output.splitlines() if told in one]
    assert "age" in line


def test_a_version_that_is_worse_is_kept_back(days: tuple[list[dict[str, Any]], str]) -> None:
    """It is trained, `promote` is skipped and says why, and there is no event."""
    results, output = days
    fourth = results[3]
    assert fourth["state"] == "success"
    assert fourth["tasks"].pop("promote") == "skipped"
    assert set(fourth["tasks"].values()) == {"success"}
    assert fourth["events"] == []
    assert "quality" in output.partition("2026-11-04")[2]


def test_another_process_is_waited_for(airflow: Airflow, shop: Shop) -> None:
    """While somebody else trains the model its task waits, and then finds the data trained."""
    (shop.data / "incoming" / "2026-11-05.csv").write_text("age,quality,spent\n50,8,9.5\n")
    shop.gate.unlink()
    environ = {**airflow.environ, **shop.settings()}
    command = [str(COMMAND), "train", "Shop", "--date", "2026-11-05"]
    known = {name: value for name, value in environ.items() if "AIRFLOW" not in name}
    other = subprocess.Popen([*leash(), *command], env=known)
    try:
        until(shop.waits, 120, "the other process trains the model")
        with ThreadPoolExecutor() as pool:
            ended = pool.submit(
                airflow.python, HERE / "run_dags.py", "modelsync_Shop", "2026-11-05"
            )
            until(lambda: "looking again in" in airflow.output, 120, "the task waits")
            shop.gate.touch()
            [result] = _results(ended.result())
        assert other.wait(patient(60)) == 0
    finally:
        shop.gate.touch()
        other.kill()
        other.wait()
    assert result["state"] == "success"
    assert result["tasks"]["check"] == "success"
    assert result["tasks"]["train"] == "skipped"
    assert result["tries"]["datafill"] == 1


def test_models_that_train_themselves_have_a_dag(airflow: Airflow, shop: Shop) -> None:
    """A broken folder is no import error, and costs no other its DAG; no model is imported."""
    listed = json.loads(_last_json(airflow.run("dags", "list", "-o", "json")))
    assert [one["dag_id"] for one in listed] == ["modelsync_Broken", "modelsync_Shop"]
    assert "No data found" in airflow.run("dags", "list-import-errors")


def test_a_dag_of_a_broken_folder_says_what_is_wrong(airflow: Airflow) -> None:
    """Its first task fails with the place in the file, and is tried as often as it is said."""
    output = airflow.python(HERE / "run_dags.py", "modelsync_Broken", "2026-11-01")
    [result] = _results(output)
    assert result["tasks"]["datafill"] == "failed"
    assert result["tries"]["datafill"] == 2
    assert "etls.py" in output.partition("AirflowException: ")[2].splitlines()[0]


def test_parsing_imports_nothing_heavy(airflow: Airflow) -> None:
    """To an ordinary DAG, ours add the standard library and the two files beside them."""
    [result] = _results(airflow.python(HERE / "parse_dags.py"))
    assert result["imported"] == ["modelsync_command", "modelsync_models"]


def _last_json(output: str) -> str:
    return next(line for line in reversed(output.splitlines()) if line.startswith("["))
