"""Folders without code: which file in one is the model, and what is refused or passed over."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from modelsync.errors import ModelBroken
from modelsync.models.discovery.folders import discover
from modelsync.models.discovery.passed_over import passed_over
from tests.models.code import fault_of
from tests.models.conftest import Find, Load, Put, Write
from tests.models.fitted import FRAME, LABELS, VARIABLES, expected, together

CLASSIFIER = LogisticRegression().fit(FRAME, LABELS)
SCALER = StandardScaler().fit(FRAME)
PICKLE = pickle.dumps(CLASSIFIER)
PAGE = b"<!DOCTYPE html>\n<html>sign in</html>"
CODE = "class Ok:\n    def transform_predict(self, x: int):\n        return {'y': x}\n"


@pytest.mark.parametrize(
    "file",
    [
        "churn_model.pkl", "model.pickle", "model.pk", "Churn.sav", "m.p", "churn.jbl", "m.dat",
        "m.bin", "m.model", "churn",
    ],
)  # fmt: skip
def test_a_single_pickle_is_the_model_whatever_its_name(put: Put, file: Any) -> None:
    """It answers as the estimator itself does, beside files that are none."""
    model = put(PICKLE, file, train="# the script that has fitted it\n")
    assert model.spec.artefact == file
    x = pd.DataFrame([VARIABLES])[["a", "b", "c d"]]
    assert together(model, VARIABLES) == expected(CLASSIFIER, x)


@pytest.mark.parametrize("protocol", range(6))
def test_any_protocol(put: Put, protocol: int) -> None:
    """Python writes six of them."""
    model = put(pickle.dumps(CLASSIFIER, protocol), "churn.pkl")
    assert together(model, VARIABLES)[0]["prediction"] == "yes"


@pytest.mark.parametrize(
    ("file", "compress"),
    [("c.pkl.gz", gzip.compress), ("c.pkl.bz2", bz2.compress), ("c.pickle.xz", lzma.compress)],
)
def test_compressed_pickles(put: Put, file: Any, compress: Callable[[bytes], bytes]) -> None:
    """Those that Python compresses are models too."""
    assert together(put(compress(PICKLE), file), VARIABLES)[0]["prediction"] == "yes"


@pytest.mark.parametrize("method", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_what_joblib_compresses(write: Write, serve: Load, method: Any) -> None:
    """Whatever the method, under any name."""
    joblib.dump(CLASSIFIER, write("Ready") / "churn.pkl", compress=(method, 3))
    assert together(serve(None, name="Ready"), VARIABLES)[0]["prediction"] == "yes"


def test_several_artefacts_are_refused_by_name(write: Write, find: Find) -> None:
    """The bare model would be served without its scaler: wrong answers."""
    files: dict[str, Any] = {
        "model.pkl": PICKLE,
        "scaler.pkl": pickle.dumps(SCALER),
        "features.pkl": pickle.dumps(["a", "b", "c d"]),
    }
    write("Three", files=files)
    fault = find("Three").fault
    assert fault
    assert fault.message == "several artefacts and no etls.py: features.pkl, model.pkl, scaler.pkl"
    assert "one Pipeline" in str(fault.hint)
    write("Three", CODE)
    assert find("Three").fault is None


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (
            {"model": CLASSIFIER, "scaler": SCALER, "on": ["a"]},
            "holds a dict (model: LogisticRegression, scaler: StandardScaler, on: list), no model",
        ),
        ((SCALER, CLASSIFIER), "holds a tuple (StandardScaler, LogisticRegression), no model"),
        ([SCALER, CLASSIFIER], "holds a list (StandardScaler, LogisticRegression), no model"),
        (FRAME, "holds a DataFrame, which has neither"),
        (FRAME["a"], "holds a Series, which has neither"),
        (np.arange(3.0), "holds a ndarray, which has neither"),
        (len, "holds the function len, which has neither"),
        ("text", "holds a str, which has neither"),
    ],
)
def test_what_is_no_model_is_named(put: Put, thing: Any, message: str) -> None:
    """The fault says what the file holds, and what to do."""
    with pytest.raises(ModelBroken) as caught:
        put(thing, "model.pkl")
    fault = fault_of(caught.value)
    assert fault.message.startswith(message)
    assert "etls.py" in str(fault.hint)


@pytest.mark.parametrize(
    "content",
    [b"nonsense", b"", b"\n", PICKLE[:-9], PICKLE[:300], b"PK\x03\x04", b"\x80\x09x", PAGE],
)
def test_a_damaged_pickle_is_named(put: Put, content: bytes) -> None:
    """The exceptions of pickle say nothing to its author."""
    with pytest.raises(ModelBroken) as caught:
        put(content, "model.pkl")
    fault = fault_of(caught.value)
    assert (fault.file, fault.message[:30]) == ("model.pkl", "is no pickle, or a damaged one")
    if content == PAGE:
        assert fault.message.endswith("it begins with '<!DOCTYPE html>'")


@pytest.mark.parametrize("thing", [FRAME, np.arange(3.0), ["a", "b"], {"a": 1}, "text", (1, 2.5)])
def test_data_is_no_model(root: Path, write: Write, thing: Any) -> None:
    """A folder of data beside the models is passed over, and does not break the sync."""
    write("data", files={"data.pkl": pickle.dumps(thing)})
    assert discover(root) == []
    [one] = passed_over(root, [])
    assert (one.path, one.reason.partition(" (")[0]) == ("data", "data.pkl holds data")
    joblib.dump(thing, root / "data" / "data.pkl", compress=3)
    assert discover(root) == []


# --- passed over ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "path", "reason"),
    [
        ({"Risk/model.pkl.dvc": "outs:"}, "Risk", "model.pkl.dvc points to a file that DVC keeps"),
        ({"Risk.dvc": "outs:"}, "Risk.dvc", "Risk.dvc points to a file that DVC keeps"),
        ({"Risk/etls/__init__.py": CODE}, "Risk", "etls is a package here"),
        ({"Risk/model.py": CODE}, "Risk", "has no etls.py; transform_predict is in model.py"),
        ({"Risk/Try.ipynb": CODE}, "Risk", "has no etls.py; transform_predict is in a notebook"),
        ({"Risk/model.h5": "x"}, "Risk", "model.h5 is a model of Keras"),
        ({"Risk/saved/saved_model.pb": "x"}, "Risk/saved", "saved_model.pb is a model of Tensor"),
        ({"Risk/data.pkl": "x"}, "Risk", "data.pkl is no pickle, or a damaged one"),
        ({"team/Price/etls.py": CODE}, "team/Price", "is a folder inside another one"),
        ({"Risk/out/model.joblib": "x"}, "Risk/out", "is a folder inside another one"),
        ({"a/A/etls.py": CODE, "a/B/etls.py": CODE}, "a", "holds 2 model folders (A, B)"),
        ({"etls.py": CODE}, "etls.py", "lies beside the model folders"),
        ({"model.pkl": "x"}, "model.pkl", "lies beside the model folders"),
    ],
)
def test_what_looks_like_a_model_is_named(
    root: Path, files: dict[str, str], path: str, reason: str
) -> None:
    """Each has a line with its path, and the reason."""
    _put(root, {"Ok/etls.py": CODE, **files})
    models = discover(root)
    assert [model.name for model in models] == ["Ok"]
    [one] = passed_over(root, models)
    assert one.path == path
    assert one.reason.startswith(reason)


@pytest.mark.parametrize(
    "files",
    [
        {"data/people.csv": "a,b"},
        {"notebooks/explore.ipynb": "import pandas"},
        {"tests/Fixture/etls.py": CODE},
        {".git/Old/etls.py": CODE},
        {"venv/pyvenv.cfg": "", "venv/lib/Model/etls.py": CODE},
        {"node_modules/Model/etls.py": CODE},
        {"common/base.py": CODE, "Uses/etls.py": f"from common.base import Ok\n{CODE}"},
        {"scripts/train.py": "model.transform_predict(x)"},
    ],
)
def test_what_does_not_look_like_one_is_not(root: Path, files: dict[str, str]) -> None:
    """No line for data, tests, tools and code that models share."""
    _put(root, {"Ok/etls.py": CODE, **files})
    assert passed_over(root, discover(root)) == ()


def test_a_large_folder_is_not_walked_through(root: Path) -> None:
    """What is no model may hold any number of files."""
    _put(root, {f"data/{number}/x.csv": "" for number in range(3000)})
    _put(root, {"team/Price/etls.py": CODE})
    assert passed_over(root, []) == ()


def test_the_place_in_the_repository_is_in_the_advice(root: Path) -> None:
    """The setting that is named holds the whole path."""
    _put(root, {"team/Price/etls.py": CODE})
    [one] = passed_over(root, [], subdir="ml/models")
    assert "MODELSYNC_GIT_SUBDIR=ml/models/team" in str(one.hint)


def _put(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
