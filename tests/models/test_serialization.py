"""The values of a model as JSON, and the promise that a new property is defined in one place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import modelsync
from modelsync.models.measurements import Measurements
from modelsync.models.serialization import entry_from_json, entry_to_json, from_json, to_json
from modelsync.models.types import (
    CheckResult,
    Fault,
    ModelEntry,
    ModelName,
    ModelSpec,
    TreeHash,
)

PROPERTY = '    colour: str = field(default="", kw_only=True)\n'

JOURNEY = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
from modelsync import settings
from modelsync.inference import release_loading
from modelsync.models.check import check_process, checker
from modelsync.models.codegen.generator import generate
from modelsync.models.discovery.folders import discover
from modelsync.models.types import ModelEntry
from modelsync.releases.store import Release, Releases

class CheckProcess(check_process.CheckProcess):
    def _job(self, trace):
        colours.append(json.loads(super()._job(trace))["models"][0]["colour"])
        return super()._job(trace)

colours, home = [], Path(sys.argv[1])
checker.CheckProcess = CheckProcess
releases = Releases(home)
with releases.stage() as staging:
    folder = staging.models_serve / "Churn"
    folder.mkdir(parents=True)
    (folder / "etls.py").write_text("class Churn:\\n def transform_predict(self): return {}\\n")
    [spec] = discover(staging.models_serve)
    spec = replace(spec, colour="red")
    [result] = checker.check([spec], timeout=30, environ=dict(os.environ))
    assert result.ok, result
    entry = ModelEntry.of(spec, Path("models_serve/Churn"), fault=result.fault, release="a" * 40)
    release = Release("a" * 40, "a" * 40, "git", "", {spec.name: entry})
    release = staging.publish(release, generate([entry], base_url="", release=release.id))
colours.append(json.loads((release.path / "release.json").read_text())["models"]["Churn"]["colour"])
release = releases.read(release.id)
colours.append(release.models["Churn"].spec.colour)
(release.path / "release.json").unlink()
service = release_loading.load(settings.load({"MODELSYNC_HOME": str(home)}), release)
colours.append(service.models["Churn"].spec.colour)
print(json.dumps(colours))
"""


def test_a_new_property_of_a_model_is_defined_in_one_place(tmp_path: Path) -> None:
    """One line in `types.py` takes it through check and release.json to the model."""
    source = Path(modelsync.__file__).parent
    shutil.copytree(source, tmp_path / "modelsync", ignore=shutil.ignore_patterns("__pycache__"))
    types = tmp_path / "modelsync" / "models" / "types.py"
    before, after = types.read_text().split("    writes_self: bool")
    types.write_text(f"{before}{PROPERTY}    writes_self: bool{after}")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    found = subprocess.run(
        [sys.executable, "-c", JOURNEY, str(tmp_path / "home")],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[-1]) == ["red"] * 4


SPEC = ModelSpec(
    ModelName("Churn"), Path("models_serve/Churn"), TreeHash("1" * 40), class_name="Churn"
)
FAULT = Fault("load", "No module named 'x'", "etls.py", 3, "add it")
MEASURED = Measurements(0.5, 0.001, 2)


@pytest.mark.parametrize(
    "entry",
    [
        ModelEntry.of(SPEC, SPEC.path, fault=None, release="a", measured=MEASURED),
        ModelEntry.of(SPEC, SPEC.path, fault=FAULT, release="a"),
        ModelEntry(SPEC, "stale", TreeHash("2" * 40), "a", FAULT, MEASURED),
    ],
    ids=lambda entry: entry.state,
)
def test_an_entry_reads_back_the_same(entry: Any) -> None:
    """What `release.json` holds of a model gives the same entry."""
    assert entry_from_json(json.loads(json.dumps(entry_to_json(entry)))) == entry


def test_an_entry_is_one_flat_object() -> None:
    """Only the plan, the fault and the placement are nested: people and older versions read it."""
    values = entry_to_json(ModelEntry.of(SPEC, SPEC.path, fault=FAULT, release="a"))
    assert [key for key, value in values.items() if isinstance(value, dict)] == [
        "plan",
        "fault",
        "placement",
    ]
    assert (values["folder"], values["version"], values["wanted_version"]) == (
        "models_serve/Churn",
        "",
        "1" * 40,
    )


def test_unknown_keys_are_ignored() -> None:
    """What a newer version has written can be read."""
    values = {**to_json(SPEC), "fault": {**to_json(FAULT), "later": 1}, "later": {"a": 1}}
    assert from_json(ModelSpec, values).fault == FAULT
    assert from_json(CheckResult, {"name": "A", "version": "1"}).measured == Measurements()


def test_what_has_no_default_must_be_there() -> None:
    """A name and a version are no details."""
    with pytest.raises(TypeError, match="version"):
        from_json(CheckResult, {"name": "A"})
