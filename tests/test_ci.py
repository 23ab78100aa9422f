""".ci/run, and what repeats its steps: GitHub's workflows and the hooks of pre-commit."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS: dict[str, dict[Any, Any]] = {
    path.stem: yaml.safe_load(path.read_text("utf-8"))
    for path in (ROOT / ".github" / "workflows").glob("*.yml")
}
WORKFLOW: dict[str, Any] = WORKFLOWS["ci"]["jobs"]
RELEASE: dict[str, Any] = WORKFLOWS["release"]["jobs"]
OFFICIAL = {"actions", "docker", "oras-project", "pypa", "sigstore"}
"""Whose actions may run: those who make what they install or call."""
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


def actions(job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The actions of a job, by name without version, with what they are given."""
    steps = job.get("steps", [])
    return {one["uses"].partition("@")[0]: one.get("with", {}) for one in steps if "uses" in one}


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_run_official_actions_by_their_versions(name: str) -> None:
    """No action of a third party, and none by a branch."""
    for job in WORKFLOWS[name]["jobs"].values():
        for step in job.get("steps", []):
            if used := step.get("uses"):
                assert used.partition("/")[0] in OFFICIAL
                assert re.search(r"@v\d+(\.\d+)*$", used), used


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflows_may_write_only_where_they_publish(name: str) -> None:
    """A workflow may read; a job that publishes says what it may write. Each job has an end."""
    assert WORKFLOWS[name]["permissions"] == {"contents": "read"}
    for job in WORKFLOWS[name]["jobs"].values():
        publishes = {kind for kind, level in job.get("permissions", {}).items() if level == "write"}
        assert not publishes or name == "release"
        assert "timeout-minutes" in job or "uses" in job


def test_a_release_is_tested_first() -> None:
    """A tag runs all of CI before anything is published, and CI alone does not run for it."""
    triggers = {name: one[True] for name, one in WORKFLOWS.items()}  # YAML reads `on` so
    assert triggers["release"] == {"push": {"tags": ["v*"]}}
    assert "tags" not in triggers["ci"]["push"]
    assert RELEASE["ci"] == {"uses": "./.github/workflows/ci.yml"}
    for name in ("image", "wheel", "compiled"):
        assert RELEASE[name]["needs"] == "ci"
    assert RELEASE["chart"]["needs"] == "image"
    assert set(RELEASE["publish"]["needs"]) == {"image", "chart", "wheel", "compiled"}


def test_images_are_for_both_architectures() -> None:
    """Each target of the Dockerfile is built for amd64 and arm64, with an SBOM and provenance."""
    build = actions(RELEASE["image"])["docker/build-push-action"]
    assert build["platforms"] == "linux/amd64,linux/arm64"
    assert (build["push"], build["sbom"], build["provenance"]) == (True, True, "mode=max")
    stages = set(re.findall(r" AS (\w+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.M))
    assert {one["target"] for one in RELEASE["image"]["strategy"]["matrix"]["include"]} <= stages


@pytest.mark.parametrize("name", ["image", "chart"])
def test_what_is_pushed_is_signed(name: str) -> None:
    """By its digest, with the workflow's own identity: there is no key that could be lost."""
    job = RELEASE[name]
    (sign,) = (one for one in job["steps"] if "cosign sign" in one.get("run", ""))
    assert "@$DIGEST" in sign["run"]
    assert "outputs.digest" in sign["env"]["DIGEST"]
    assert job["permissions"]["id-token"] == "write"
    assert "--key" not in sign["run"]


def test_wheels_are_for_every_python() -> None:
    """A compiled wheel is for one Python and one architecture; all that we run on have theirs."""
    matrix = RELEASE["compiled"]["strategy"]["matrix"]
    assert matrix["python"] == WORKFLOW["test"]["strategy"]["matrix"]["python"]
    assert any("arm" in runner for runner in matrix["runner"])
    publish = actions(RELEASE["publish"])
    assert publish["actions/attest-build-provenance"] == {"subject-path": "dist/*"}


def test_the_docs_say_how_to_verify() -> None:
    """docs/releasing.md verifies the identity of this very workflow."""
    text = (ROOT / "docs" / "releasing.md").read_text("utf-8")
    assert text.count("/.github/workflows/release.yml@refs/tags/v") >= 2
    for command in ("cosign verify", "gh attestation verify", "imagetools inspect"):
        assert command in text
