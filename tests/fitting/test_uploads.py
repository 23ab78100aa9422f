"""Ready files as versions: told by their content, loaded and tried before they are offered."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from modelsync.errors import DataInvalid
from modelsync.fitting.uploads import recognize
from tests.fitting.running import Ran, fit, write_folder

CODE = """
class Model:
    def fit(self, x, y): ...
"""

X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 3.0, 2.0, 1.0]})


def regression(x: Any = X) -> LogisticRegression:
    return LogisticRegression().fit(x, [0, 0, 1, 1])


def as_onnx() -> bytes:
    from skl2onnx import to_onnx

    made: bytes = to_onnx(regression(X.to_numpy()), X.to_numpy(np.float32)[:1]).SerializeToString()
    return made


def packed(compress: Any) -> bytes:
    made = io.BytesIO()
    joblib.dump(regression(), made, compress=compress)
    return made.getvalue()


def zipped(name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, b"x")
    return made.getvalue()


@pytest.fixture
def upload(tmp_path: Path) -> Callable[..., Ran]:
    """Runs the job of an upload."""

    def run(content: bytes, code: str = CODE, **files: str) -> Ran:
        spec = write_folder(tmp_path / "models", "Model", code, **files)
        (tmp_path / "body").write_bytes(content)
        return fit(spec, tmp_path / "out", kind="upload", upload=tmp_path / "body")

    return run


Upload = Callable[..., Ran]


def test_a_skops_file_becomes_a_version(upload: Upload) -> None:
    made = upload(skops.io.dumps(regression())).made
    assert made.serializer == "skops"
    assert made.inputs is not None
    assert [one.name for one in made.inputs.columns] == ["a", "b"]
    assert made.rows is None


def test_an_onnx_file_becomes_a_version(upload: Upload) -> None:
    content = as_onnx()
    ran = upload(content)
    assert ran.made.serializer == "onnx"
    assert (ran.output / ran.made.file).read_bytes() == content
    assert ran.made.size == len(content)


def test_an_upload_is_tried_with_the_examples(upload: Upload) -> None:
    example = json.dumps({"variables": {"a": 1.0, "b": 2.0}})
    assert upload(skops.io.dumps(regression()), examples__one_json=example).made.call_seconds
    wrong = json.dumps({"variables": {"c": 1.0}})
    error = upload(skops.io.dumps(regression()), examples__one_json=wrong).error
    assert error.stage == "verify"


def test_types_that_skops_does_not_trust_are_named(upload: Upload) -> None:
    made = make_pipeline(FunctionTransformer(eval), LogisticRegression())
    error = upload(skops.io.dumps(made)).error
    assert error.stage == "verify"
    assert "eval" in error.message


@pytest.mark.parametrize("make", [lambda: as_onnx()[:-40], lambda: b"\x08\x07" + b"junk" * 40])
def test_a_damaged_onnx_file_is_refused(upload: Upload, make: Callable[[], bytes]) -> None:
    error = upload(make()).error
    assert error.stage == "verify"
    assert "/tmp" not in error.message


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        *((pickle.dumps(regression(), number), "another file") for number in range(2)),
        *((pickle.dumps(regression(), number), "pickle") for number in range(2, 6)),
        (packed(0), "pickle"),
        (packed(3), "zlib"),
        (packed(("gzip", 3)), "gzip"),
        (packed(("bz2", 3)), "bzip2"),
        (packed(("xz", 3)), "xz"),
        (gzip.compress(b"\x08\x07"), "gzip"),
        (zipped("archive/data.pkl"), "PyTorch"),
        (zipped("a.txt"), "no skops file"),
        (b"PK\x03\x04junk", "another file"),
        (b'{"a": 1}', "another file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # pickles differ from run to run
)
def test_everything_else_is_refused_by_its_content(
    tmp_path: Path, upload: Upload, content: bytes, says: str
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(content)
    with pytest.raises(DataInvalid) as refused:
        recognize(file)
    assert says in str(refused.value)
    assert "expected an ONNX model or a skops file" in str(refused.value)


def test_a_pickle_never_runs(tmp_path: Path, upload: Upload) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "owned",)

    error = upload(pickle.dumps(Evil())).error
    assert error.stage == "data"
    assert not (tmp_path / "owned").exists()
