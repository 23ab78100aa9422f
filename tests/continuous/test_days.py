"""A model that is trained day by day: what comes is checked, kept, trained with, compared."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from modelsync.continuous import days
from modelsync.continuous.failures import StepFailed
from tests.continuous.machine import (
    MONDAY,
    SCHEMA,
    SHOP,
    TUESDAY,
    WEDNESDAY,
    Machine,
    sales,
)

pytestmark = pytest.mark.training


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.write("Shop", SHOP, SCHEMA)
    return made


def test_days_are_filled_checked_trained_compared_and_promoted(machine: Machine) -> None:
    machine.brings(MONDAY, sales(20, 20))
    first = machine.train()
    assert (first.state, first.outcome, first.version, first.filled) == ("done", "promoted", 1, 40)
    assert machine.said("fill").startswith("40 rows of incoming/2026-11-23*.csv into table sales")
    assert machine.version().key == "2026-11-23"

    same = machine.train()
    assert (same.outcome, same.version) == ("unchanged", None)
    assert "trained by run 1" in machine.said("check")

    machine.brings(TUESDAY, sales(200))
    second = machine.train(day=TUESDAY)
    assert (second.outcome, second.version) == ("promoted", 2)
    assert second.comparison
    assert second.comparison["version"] == 1
    assert second.comparison["new"]["accuracy"] >= second.comparison["old"]["accuracy"]
    made = machine.version().made
    assert made.rows is not None
    assert made.rows + second.comparison["rows"] == 240


def test_a_broken_day_is_refused_and_caught_up_when_it_is_mended(machine: Machine) -> None:
    machine.brings(MONDAY, sales(40))
    machine.train()
    machine.brings(TUESDAY, "shop,y\na,maybe\nB,yes\nc,\n")
    with pytest.raises(
        StepFailed, match=r"incoming/2026-11-24\*.csv .*breaks schema.yml: "
    ) as told:
        machine.train(day=TUESDAY)
    run = machine.runs()[0]
    assert run.error
    assert (run.state, run.error["step"], run.error["kind"]) == ("failed", "fill", "DataRefused")
    assert {one["column"] for one in run.error["report"]["violations"]} == {"shop", "y"}
    assert run.error["message"] == str(told.value)
    assert machine.version().number == 1

    machine.values = {"MODELSYNC_SAMPLE_MASK": "SHOP"}
    with pytest.raises(StepFailed, match="breaks") as masked:
        machine.train(day=TUESDAY)
    assert '("B")' in str(told.value)
    assert '("B")' not in str(masked.value)
    kept = machine.runs()[0].error
    assert kept
    shown = {one["column"]: bool(one["examples"]) for one in kept["report"]["violations"]}
    assert shown == {"shop": False, "y": True}

    machine.brings(TUESDAY, sales(60))
    mended = machine.train(day=TUESDAY)
    assert (mended.number, mended.state, mended.filled) == (run.number, "done", 60)
    assert mended.report
    assert mended.report["rows"] == 100


def test_a_day_without_data_is_no_error(machine: Machine) -> None:
    machine.brings(MONDAY, sales(40))
    machine.train()
    empty = machine.train(day=TUESDAY)
    assert (empty.outcome, empty.filled) == ("unchanged", 0)
    assert machine.said("fill") == "nothing has come that day"
    machine.brings(WEDNESDAY, "shop,y\n")
    assert machine.train(day=WEDNESDAY).outcome == "unchanged"
    assert "has no row" in machine.said("fill")


def test_no_day_at_all_says_what_is_missing(machine: Machine) -> None:
    with pytest.raises(StepFailed, match="there is no file sales"):
        machine.train()
    assert machine.runs()[0].step == "check"


def test_one_class_only_fails_with_what_to_do(machine: Machine) -> None:
    machine.brings(MONDAY, sales(20, shops="ab"))
    with pytest.raises(StepFailed, match=r"column 'y' is 'yes' in all 20 rows.*wait for days"):
        machine.train()
    assert machine.runs()[0].step == "train"


def test_a_worse_version_is_kept_back(machine: Machine) -> None:
    machine.write(
        "Shop",
        SHOP.replace("return learn(", "return self.odd(")
        + (
            "    def odd(self, pairs):\n"
            "        pairs = list(pairs)\n"
            "        flip = {'yes': 'no', 'no': 'yes'}\n"
            "        return learn((a, flip[y] if len(pairs) > 50 else y) for a, y in pairs)\n"
        ),
        SCHEMA,
    )
    machine.brings(MONDAY, sales(40))
    machine.train()
    machine.brings(TUESDAY, sales(60))
    worse = machine.train(day=TUESDAY)
    assert (worse.outcome, machine.version().number) == ("kept", 1)
    assert "version 1 goes on, version 2 waits: accuracy is 0" in machine.said("promote")
    assert "accuracy is 0" in machine.store.catalog.version("Shop", "v2").verdict
    assert machine.train(day=TUESDAY).outcome == "unchanged"


def test_the_same_data_is_trained_again_after_other_data_or_by_force(machine: Machine) -> None:
    machine.brings(MONDAY, sales(40))
    machine.train()
    machine.brings(TUESDAY, sales(4, 40))
    machine.train(day=TUESDAY)
    machine.brings(TUESDAY, sales(40))
    assert machine.train(day=TUESDAY).version == 3
    assert machine.train(day=TUESDAY, force=True).version == 4


def test_steps_are_done_one_by_one_in_their_order(machine: Machine) -> None:
    machine.brings(MONDAY, sales(40))
    with pytest.raises(StepFailed, match="train cannot begin: check was not done that day"):
        machine.train(only="train")
    filled = machine.train(only="fill")
    assert (filled.state, filled.step) == ("waiting", "check")
    for step, following in (("check", "train"), ("train", "compare"), ("compare", "promote")):
        assert machine.train(only=step).step == following  # type: ignore[arg-type]
    done = machine.train(only="promote")
    assert (done.number, done.state, done.outcome) == (filled.number, "done", "promoted")
    assert machine.train(only="promote").outcome == "promoted"
    assert machine.told == []
    again = machine.train(only="check")
    assert again.number == filled.number + 1
    assert again.outcome == "unchanged"
    assert machine.train(only="train").outcome == "unchanged"


def test_missed_and_failed_days_are_caught_up(machine: Machine) -> None:
    machine.brings(MONDAY, sales(40))
    machine.train(only="fill")
    spec = next(iter(machine_specs(machine)))
    catalog = machine.store.catalog
    thursday = MONDAY + timedelta(3)
    assert days.to_train(spec, catalog, MONDAY) == [MONDAY]
    assert days.to_train(spec, catalog, thursday) == [MONDAY, TUESDAY, WEDNESDAY, thursday]
    later = MONDAY + timedelta(45)
    assert days.to_train(spec, catalog, later) == [later]


def machine_specs(machine: Machine) -> list:  # type: ignore[type-arg]
    from modelsync.models.discovery.folders import discover

    return discover(machine.models)


def test_a_poll_begins_a_run_only_for_data_that_were_not_seen(machine: Machine) -> None:
    def poll() -> str:
        """What a poll ends with; empty if it begins nothing."""
        try:
            run = machine.begin("Shop", MONDAY, trigger="change")
        except StepFailed as error:
            return str(error.facts["step"])
        return run.outcome if run else ""

    assert [poll(), poll()] == ["check", ""]  # nothing is there yet
    machine.brings(MONDAY, "shop,y\na,perhaps\n")
    assert [poll(), poll()] == ["fill", ""]
    run = machine.runs()[0]
    assert run.report
    assert run.report["violations"]
    machine.brings(MONDAY, sales(40))
    assert [poll(), poll()] == ["promoted", ""]
    assert len(machine.runs()) == 1
    machine.brings(MONDAY, sales(20, shops="ab"))
    assert [poll(), poll()] == ["train", ""]
    (machine.folder / "home" / "run" / "data" / "Shop.json").unlink()
    machine.brings(MONDAY, sales(50))
    assert [poll(), poll()] == ["promoted", ""]
