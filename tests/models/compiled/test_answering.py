"""A ready model with a compiled form that is fine, of another machine, damaged, or defective."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from modelsync.models.compiled.compiled_call import CompiledCall
from modelsync.models.compiling import model_compilation
from modelsync.models.loading import loader
from modelsync.models.types import LoadedModel, ModelName, ModelSpec, TreeHash
from tests.fixtures.compilers import network, write_ready
from tests.fixtures.service import write_example

ROW = {"a": 0.5, "b": -0.25}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    """A model with its compiled form."""
    root = tmp_path_factory.mktemp("made")
    write_example(write_ready(root, "Net", network()), ROW)
    spec = ModelSpec(ModelName("Net"), root / "Net", artefact="model.pkl", version=TreeHash("1"))
    found = model_compilation.compile_model(spec, root / "compiled", 1e-6)
    assert found.state == "compiled", found
    assert found.size > 0
    assert found.estimator_size == (root / "Net/model.pkl").stat().st_size
    return replace(spec, compiled=root / "compiled")


@pytest.fixture
def spec(made: ModelSpec, tmp_path: Path) -> ModelSpec:
    """The same, with a form of the test's own."""
    assert made.compiled
    shutil.copytree(made.compiled, tmp_path / "compiled")
    return replace(made, compiled=tmp_path / "compiled")


def test_the_form_answers(spec: ModelSpec) -> None:
    """To the last digit but some, and also what the estimator refuses is as before."""
    model, plain = loader.load(spec), loader.load(replace(spec, compiled=None))
    call = _compiled_call(model)
    ours, theirs = model.call(dict(ROW)), plain.call(dict(ROW))
    assert call.fallbacks == 0
    assert ours["prediction"] == theirs["prediction"]
    assert ours["probabilities"] == pytest.approx(theirs["probabilities"], rel=1e-6)
    assert model.artefact
    assert model.artefact.backend == call.model.backend
    assert plain.artefact
    assert not plain.artefact.backend


@pytest.mark.parametrize("what", ["fingerprint", "model.onnx", "form.json"])
def test_a_form_that_is_not_of_here_is_left_out(
    spec: ModelSpec, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, and the estimator answers."""
    assert spec.compiled
    [file] = spec.compiled.rglob(what)
    file.write_text("0")
    model = loader.load(spec)
    assert model.artefact
    assert not model.artefact.backend
    expected = loader.load(replace(spec, compiled=None)).call(dict(ROW))
    assert [model.call(dict(ROW)) for _ in range(3)] == [expected] * 3
    assert _fallbacks(caplog) == 1


def test_a_form_that_fails_is_logged_once(
    spec: ModelSpec, caplog: pytest.LogCaptureFixture
) -> None:
    """And the estimator answers each request."""
    assert spec.compiled
    [file] = spec.compiled.rglob("model.onnx")
    value = helper.make_tensor_value_info("other", TensorProto.DOUBLE, [None, 7])
    same = helper.make_tensor_value_info("same", TensorProto.DOUBLE, [None, 7])
    node = helper.make_node("Identity", ["other"], ["same"])
    graph = helper.make_graph([node], "other", [value], [same])
    version = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=version, ir_version=8), file)
    model = loader.load(spec)
    expected = loader.load(replace(spec, compiled=None)).call(dict(ROW))
    assert [model.call(dict(ROW)) for _ in range(3)] == [expected] * 3
    assert _fallbacks(caplog) == 1


def test_a_model_in_another_place_keeps_its_form(spec: ModelSpec) -> None:
    """A runner gets its specification as JSON."""
    from modelsync.models.serialization import from_json, to_json

    again = from_json(ModelSpec, json.loads(json.dumps(to_json(spec))))
    assert _compiled_call(loader.load(again)).fallbacks == 0


def _compiled_call(model: LoadedModel) -> CompiledCall:
    call: Any = model.ready.batch.call
    assert isinstance(call, CompiledCall)
    return call


def _fallbacks(caplog: pytest.LogCaptureFixture) -> int:
    return sum("compiled form" in record.getMessage() for record in caplog.records)
