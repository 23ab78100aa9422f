"""`modelsync check` finds where each model runs: small models, each with one habit of people."""

from __future__ import annotations

import importlib.util
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import modelsync

WORKER, THREAD, RUNNER = "worker", "thread", "runner"


@dataclass(frozen=True)
class Habit:
    """A model with one habit, the place that it must get, and words of the reason.

    The fields are those of `habits.yaml`.
    """

    place: str
    top: str = "pass"
    init: str = "pass"
    body: str = "return {'y': x * 2}"
    methods: str = ""
    reason: str = ""
    example: bool = True
    needs: str = ""
    flags: tuple[str, ...] = ()

    def source(self, name: str) -> str:
        """The file etls.py of a model of that name."""
        init, body = (textwrap.indent(text, " " * 8) for text in (self.init, self.body))
        return (
            f"{self.top}\n\nclass {name}:\n    def __init__(self, path):\n{init}\n"
            f"    def transform_predict(self, x: int = 0):\n{body}\n"
            f"{textwrap.indent(self.methods, ' ' * 4)}\n"
        )


ALL = {
    name: Habit(**{**values, "flags": tuple(values.get("flags", ()))})
    for name, values in yaml.safe_load(Path(__file__).with_name("habits.yaml").read_text()).items()
}


def has(habit: Habit) -> bool:
    return not habit.needs or importlib.util.find_spec(habit.needs) is not None


@pytest.fixture(scope="module")
def placements(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What `modelsync check` says of all the models, by name; all pass."""
    root = tmp_path_factory.mktemp("places")
    for name, habit in ALL.items():
        if has(habit):
            folder = root / name
            (folder / "examples").mkdir(parents=True)
            (folder / "etls.py").write_text(habit.source(name))
            if habit.example:
                for number in (3, 4):
                    text = json.dumps({"variables": {"x": number}})
                    (folder / f"examples/{number}.json").write_text(text)
    done = modelsync("check", "--format", "json", cwd=root)
    found = {model["name"]: model for model in json.loads(done.stdout)["models"]}
    assert [(name, model["fault"]) for name, model in found.items() if not model["ok"]] == []
    return {name: model["placement"] for name, model in found.items()}


@pytest.mark.parametrize("name", ALL)
def test_the_place_of_a_habit(placements: dict[str, dict[str, Any]], name: str) -> None:
    """The cheapest place that is right, with a reason that names the habit."""
    habit = ALL[name]
    if not has(habit):
        pytest.skip(f"{habit.needs} is not installed")
    placement = placements[name]
    assert placement["place"] == habit.place, placement
    assert habit.reason in placement["reason"], placement
    assert bool(placement["reason"]) == (habit.place != WORKER)
    for flag in habit.flags:
        assert placement[flag] if flag != "serial" else not placement["overlaps"], placement
    if habit.place == WORKER:
        assert placement["overlaps"] == ("serial" not in habit.flags), placement


def test_there_are_many_habits_of_each_kind() -> None:
    """The table covers what the issue lists."""
    assert len(ALL) > 100
    assert {habit.place for habit in ALL.values()} == {WORKER, THREAD, RUNNER}


def test_the_command_says_where_and_why(tmp_path: Path) -> None:
    """In plain words, for each model that is not like most."""
    folder = tmp_path / "Rates"
    folder.mkdir()
    source = "import sqlite3\nclass Rates:\n    db = sqlite3.connect(':memory:')\n"
    (folder / "etls.py").write_text(f"{source}    def transform_predict(self): return {{}}\n")
    done = modelsync("check", "Rates", cwd=tmp_path)
    assert done.returncode == 0
    assert "Rates runs in a thread of its own in each worker: it holds a connection" in done.stdout
