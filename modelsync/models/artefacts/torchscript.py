"""TorchScript files, as `torch.jit.save` writes them (https://docs.pytorch.org/docs/stable/jit.html).

The variables are the tensors of `forward`, without their first dimension, the rows: one tensor is
the list `x`, several have the names of the parameters. Numbers are 32-bit floats; of a tensor that
chooses from an embedding, integers. A file of `torch.save`, which has no code, is refused.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelsync.errors import InvalidField, ModelBroken, VariablesInvalid
from modelsync.models import single_precision
from modelsync.models.artefacts import rows
from modelsync.models.artefacts.format import ArtefactFormat, Features, LoadedArtefact
from modelsync.models.binding.batching import Batch, CallBatch
from modelsync.models.binding.typehints import Call, Variables
from modelsync.models.convention import FILE
from modelsync.models.types import Fault

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"
"""What files of `torch.save` before PyTorch 1.6 begin with."""

_EMBEDDING = "aten::embedding"


def load(path: Path) -> LoadedArtefact:
    """Open a module. Raises ModelBroken if it is none of TorchScript."""
    if not _has_code(path):
        message = "holds weights or a pickled module without its code, as torch.save writes them"
        hint = f"save torch.jit.script(model), or add an {FILE} that makes the module and loads it"
        raise ModelBroken(Fault("load", message, path.name, hint=hint))
    import torch

    module = torch.jit.load(str(path), map_location="cpu")
    module.eval()
    names = _tensors(module, path.name)
    kinds = [torch.int64 if is_index else torch.float32 for is_index in _indices(module)]
    tensors = dict(zip(names, kinds, strict=False))
    if len(names) == 1:
        row, schema = rows.whole(list[Any])
        features = Features((), "place")
        make = _row(row, {"x": kinds[0]})
    else:
        row, schema = rows.named(dict.fromkeys(names, Any))
        features = Features(tuple(names))
        make = _row(row, tensors)

    def call(given: list[Any]) -> list[dict[str, Any]]:
        with torch.inference_mode():
            columns = [torch.stack(column) for column in zip(*given, strict=True)]
            try:
                return _answers(module(*columns), len(given))
            except RuntimeError as error:  # it holds a traceback of the module's code
                message = str(error).strip().rpartition("\n")[2]
                raise RuntimeError(message.removeprefix("RuntimeError: ")) from None

    doc = f"The ready model in {path.name}, a module of TorchScript."
    batch = Batch(make, _one_shape(call), schema)
    return LoadedArtefact(module, batch, doc, features, kind=module.original_name)


def _row(checked: Call, kinds: Mapping[str, Any]) -> Call:
    """Return the function that makes tensors of variables. Raises VariablesInvalid."""
    import torch

    def row(variables: Variables) -> Any:
        found = checked(variables)
        values = [found] if len(kinds) == 1 else found
        return tuple(
            _tensor(name, value, kind, torch.tensor)
            for (name, kind), value in zip(kinds.items(), values, strict=True)
        )

    return row


def _tensor(name: str, value: Any, kind: Any, make: Callable[..., Any]) -> Any:
    try:
        return make(value, dtype=kind)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        message = "Input should be a number, or nested lists of numbers of one shape"
        raise VariablesInvalid([InvalidField(name, message)]) from None


def _has_code(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.split("/")[1:2] == ["code"] for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _tensors(module: Any, file: str) -> list[str]:
    """Return the names of the tensors that `forward` takes. Raises ModelBroken for other types."""
    _, *parameters = module.forward.schema.arguments
    needed = [one for one in parameters if not one.has_default_value()]
    for one in needed:
        if str(one.type) != "Tensor":
            message = f"its input {one.name} is a {one.type}, which variables cannot fill"
            raise ModelBroken(Fault("load", message, file, hint=f"add an {FILE} that calls it"))
    return [one.name for one in needed]


def _indices(module: Any) -> list[bool]:
    """Return of each input of `forward` whether it holds the indices of an embedding."""
    graph = module.inlined_graph
    indices = {
        list(node.inputs())[1].debugName() for node in graph.nodes() if node.kind() == _EMBEDDING
    }
    _, *inputs = graph.inputs()
    return [one.debugName() in indices for one in inputs]


def _one_shape(call: CallBatch) -> CallBatch:
    """Return the call that answers rows of different shapes one by one."""

    def by_shape(given: list[Any]) -> list[Any]:
        shapes = {tuple(tensor.shape for tensor in row) for row in given}
        if len(shapes) == 1:
            return call(given)
        return [answer for row in given for answer in call([row])]

    return by_shape


def _answers(found: Any, count: int) -> list[dict[str, Any]]:
    """Return an answer for each row: `prediction`, or the outputs by their names."""
    if isinstance(found, dict):
        columns = {name: _rows(part, count) for name, part in found.items()}
        return [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
    if isinstance(found, list | tuple):
        parts = [_rows(part, count) for part in found]
        return [{"prediction": list(values)} for values in zip(*parts, strict=True)]
    return [{"prediction": value} for value in _rows(found, count)]


def _rows(part: Any, count: int) -> list[Any]:
    """Return a tensor as a list with one element per row. Raises ValueError if it has others."""
    if part.ndim == 2 and part.shape[1] == 1:
        part = part[:, 0]
    listed = single_precision.listed(part) if single_precision.is_single(part) else part.tolist()
    if not isinstance(listed, list) or len(listed) != count:
        raise ValueError(f"the module gave a tensor of shape {list(part.shape)} for {count} rows")
    return listed


def _begins(head: bytes) -> bool:
    """Return whether a file begins as those of PyTorch do, with code or without."""
    return head.startswith(_LEGACY) or (head.startswith(b"PK\x03\x04") and b"/data.pkl" in head)


FORMAT = ArtefactFormat(
    "TorchScript",
    re.compile(r".+\.(pt|pth|torchscript)", re.IGNORECASE),
    load,
    _begins,
)
