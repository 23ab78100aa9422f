""".ci/run, and what repeats its steps: GitHub's workflow and the hooks of pre-commit."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
WORKFLOW: dict[str, Any] = yaml.safe_load(
    (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
)["jobs"]
[_KNOWN] = re.findall(r"^known=\((.*)\)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
STEPS = set(_KNOWN.split())


def test_an_unknown_step_is_refused() -> None:
    """A misspelt step runs nothing, and is told with those that there are."""
    done = subprocess.run(
        [str(ROOT / ".ci" / "run"), "tset"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such step: tset; there are test coverage check" in done.stderr


def test_the_workflow_runs_every_step() -> None:
    """Between them GitHub's jobs run each step of .ci/run, and no other."""
    commands = [
        step["run"]
        for job in WORKFLOW.values()
        for step in job["steps"]
        if ".ci/run" in step.get("run", "")
    ]
    named = {
        word
        for command in commands
        for word in command.partition(".ci/run")[2].split()
        if word.isalnum()
    }
    assert named | set(WORKFLOW["system"]["strategy"]["matrix"]["step"]) == STEPS


def test_what_selects_is_read() -> None:
    """Each setting by which .ci/run runs less of a suite is one that the tests or the Makefile
    read, and its step is one that there is.
    """
    chosen = re.findall(
        r"^ +selection (\w+) (\w+) ", (ROOT / ".ci" / "run").read_text("utf-8"), re.M
    )
    assert len(chosen) > 3
    readers = [ROOT / "Makefile", *(ROOT / "tests").glob("*/test_*.py")]
    texts = [file.read_text("utf-8") for file in readers]
    for step, setting in chosen:
        assert step in STEPS
        assert any(setting in text for text in texts), setting


def test_the_workflow_tests_every_python() -> None:
    """The matrix is what pyproject.toml says that we run on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pythons = [
        found[1]
        for line in project["classifiers"]
        if (found := re.search(r"Python :: (3\.\d+)$", line))
    ]
    assert WORKFLOW["test"]["strategy"]["matrix"]["python"] == pythons
    assert project["requires-python"] == f">={pythons[0]}"


def test_the_hooks_are_the_checks() -> None:
    """pre-commit runs what `make check` runs, from .venv."""
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"][0][
        "hooks"
    ]
    recipe = re.search(
        r"^check: .*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    )
    assert recipe
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    assert [hook["entry"].removesuffix(" --force-exclude") for hook in hooks] == [
        command.removesuffix(" .") for command in commands
    ]
