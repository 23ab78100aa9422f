"""TorchScript files, where PyTorch is installed: it takes too much space for the other tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelsync.errors import ModelBroken, VariablesInvalid
from modelsync.models.results import dump
from modelsync.models.tables.bodies import prediction
from tests.models.code import bind, call_batch, fault_of
from tests.models.conftest import Load, Write

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

MODULES = """
import torch
class Embedded(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(10, 3)
        self.last = torch.nn.Linear(3, 1)
    def forward(self, ids):
        return self.last(self.table(ids).mean(1))
class Two(torch.nn.Module):
    def forward(self, a, b, factor: float = 2.0):
        return {"sum": a + b, "scaled": (a * factor).sum(1)}
class Times(torch.nn.Module):
    def forward(self, a, n: int):
        return a * n
"""

Make = Callable[[str, Any], Any]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules in a file: TorchScript reads their source."""
    (tmp_path / "modules_to_script.py").write_text(MODULES)
    monkeypatch.syspath_prepend(tmp_path)
    import modules_to_script  # type: ignore[import-not-found]

    return modules_to_script


@pytest.fixture
def saved(write: Write, serve: Load) -> Any:
    """Save a module and load it as a model."""

    def saved(module: Any, file: str = "model.pt") -> Any:
        folder = write("Ready")
        torch.jit.script(module.eval()).save(str(folder / file))
        return serve(None, name="Ready")

    return saved


def test_a_module_of_one_tensor_takes_x(saved: Any) -> None:
    """Rows of a batch are one tensor; a table is answered too."""
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Softmax(1))
    model = saved(module)
    rows = [[1, 2.5, 3], [0.1, 0.2, 0.3]]
    wanted = module(torch.tensor(rows)).tolist()
    found = call_batch(model, [bind(model, {"x": row}) for row in rows])
    assert [one["prediction"] for one in found] == [pytest.approx(row) for row in wanted]
    assert model.call({"x": rows[0]})["prediction"] == pytest.approx(wanted[0])
    assert model.call(prediction({"x": rows}))["y"] == [pytest.approx(row) for row in wanted]
    dump(found[0])


def test_an_embedding_takes_integers_of_any_length(saved: Any, modules: Any) -> None:
    """Rows of different shapes are called one by one."""
    module = modules.Embedded()
    model = saved(module)
    rows = [[1, 2, 3], [4, 5]]
    found = call_batch(model, [bind(model, {"x": row}) for row in rows])
    wanted = [module(torch.tensor([row])).item() for row in rows]
    assert [one["prediction"] for one in found] == pytest.approx(wanted)


def test_several_tensors_have_the_names_of_the_parameters(saved: Any, modules: Any) -> None:
    """So have the outputs of a module that returns a dict."""
    model = saved(modules.Two())
    assert model.call({"a": [1, 2], "b": [3, 4]}) == {"sum": [4.0, 6.0], "scaled": 6.0}
    with pytest.raises(VariablesInvalid, match="b: Field required"):
        bind(model, {"a": [1]})
    with pytest.raises(VariablesInvalid, match="a: Input should be a number, or nested lists"):
        bind(model, {"a": [[1], [2, 3]], "b": [1]})


def test_what_cannot_be_called_is_refused(saved: Any, modules: Any, write: Write) -> None:
    """A parameter of another type; and an error of the module comes without its traceback."""
    with pytest.raises(ModelBroken, match="its input n is a int"):
        saved(modules.Times())
    model = saved(torch.nn.Linear(3, 1))
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2 shapes cannot be multiplied"):
        model.call({"x": [1]})


@pytest.mark.parametrize("new", [True, False])
def test_weights_without_code_are_refused(write: Write, serve: Load, new: bool) -> None:
    """In both formats of torch.save."""
    file = write("Ready") / "weights.bin"
    state = torch.nn.Linear(3, 1).state_dict()
    torch.save(state, file, _use_new_zipfile_serialization=new)
    with pytest.raises(ModelBroken) as caught:
        serve(None, name="Ready")
    assert "torch.jit.script" in str(fault_of(caught.value).hint)
