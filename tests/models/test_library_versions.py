"""Models that were fitted with another version of scikit-learn are warned of, or refused."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import warnings
from pathlib import Path

import pytest
import sklearn
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelsync.errors import ModelBroken
from modelsync.models.check import checker
from modelsync.models.discovery.folders import discover
from modelsync.models.loading import library_versions
from modelsync.models.loading.loader import load
from modelsync.models.model_warnings import ModelWarning
from modelsync.models.types import ModelName
from tests.models.conftest import Write
from tests.models.fitted import FRAME, LABELS

HERE = sklearn.__version__
THEN = HERE[:-1] + ("0" if HERE[-1] != "0" else "9")
PIPELINE = pickle.dumps(make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, LABELS))
OLD = PIPELINE.replace(HERE.encode(), THEN.encode())
CODE = """
import pickle, warnings
warnings.warn("of the author's own")
class Code:
    def __init__(self, path):
        with open(path + "old.pkl", "rb") as file:
            self.model = pickle.load(file)
    def transform_predict(self, variables):
        return {}
"""
MESSAGE = (
    f"was fitted with scikit-learn {THEN}, and here is {HERE}: "
    "StandardScaler, LogisticRegression, Pipeline"
)
HINT = "fit it again, or name that version in a requirements.txt beside it"
UNTESTED = "; no example tells whether it still answers the same"


@pytest.fixture
def old(write: Write, root: Path) -> Path:
    """Such a model as an artefact and with code, and one that was fitted here."""
    write("Artefact", files={"churn.pkl": OLD})
    write("Code", CODE, {"old.pkl": OLD})
    write("New", files={"churn.pkl": PIPELINE})
    return root


def test_the_check_warns_once_of_each(old: Path) -> None:
    """Models serve all the same; the warning names the versions, and what to do."""
    found = checker.check(discover(old), timeout=60, environ=dict(os.environ))
    assert [(one.name, one.ok) for one in found] == [
        ("Artefact", True), ("Code", True), ("New", True),
    ]  # fmt: skip
    wanted = ModelWarning("library-version", MESSAGE, "churn.pkl", hint=HINT + UNTESTED)
    kinds = {
        str(one.name): [note for note in one.warnings if note.kind == wanted.kind] for one in found
    }
    assert kinds["Artefact"] == [wanted]
    assert [(note.message, note.file) for note in kinds["Code"]] == [(MESSAGE, None)]
    assert kinds["New"] == []


def test_a_setting_refuses_them(old: Path) -> None:
    """In the check, and in the processes that serve."""
    models = discover(old)
    found = checker.check(models, timeout=60, environ=dict(os.environ), mismatch="refuse")
    assert {one.name for one in found if not one.ok} == {"Artefact", "Code"}
    for model in models[:2]:
        with pytest.raises(ModelBroken, match=f"was fitted with scikit-learn {THEN}"):
            load(model, mismatch="refuse")


def test_an_example_that_fails_for_it_says_so(write: Write, root: Path) -> None:
    """Some load and answer wrongly: forests of 1.3 have probabilities above 1 in 1.9."""
    variables = {name: float(value) for name, value in FRAME.iloc[0].items()}
    example = {"variables": variables, "response": {"prediction": "?"}}
    write("Old", files={"churn.pkl": OLD, "examples/one.json": json.dumps(example).encode()})
    [found] = checker.check(discover(root), timeout=60, environ=dict(os.environ))
    assert found.fault
    assert found.fault.stage == "example"
    assert found.fault.hint == f"it {MESSAGE.partition(': ')[0]}: {HINT}"
    assert [one.kind for one in found.warnings] == ["library-version"]


def test_what_does_not_load_says_which_version_has_written_it(write: Write, root: Path) -> None:
    """scikit-learn 1.4 to 1.8 pickles losses as of the module `_loss`, which pip knows as a
    stranger's package: no hint names it.
    """
    model = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=2))
    content = pickle.dumps(model.fit(FRAME, LABELS), protocol=2)
    other = content.replace(HERE.encode(), THEN.encode())
    other = other.replace(b"csklearn._loss._loss\n", b"c_loss\n")
    assert b"c_loss\n" in other
    write("Artefact", files={"churn.pkl": other})
    write("Code", CODE, {"old.pkl": other})
    write("Packed", files={"churn.pkl.gz": gzip.compress(other)})
    faults = {
        one.name: one.fault
        for one in checker.check(discover(root), timeout=60, environ=dict(os.environ))
    }
    for name in ("Artefact", "Packed"):
        fault = faults[ModelName(name)]
        assert fault
        assert fault.message == (
            f"was fitted with scikit-learn {THEN}, and does not load with {HERE}: "
            "ModuleNotFoundError: No module named '_loss'"
        )
        assert fault.hint == HINT
    of_code = faults[ModelName("Code")]
    assert of_code
    assert of_code.hint == f"it {MESSAGE.partition(': ')[0]}: {HINT}"


def test_another_cause_keeps_its_hint(write: Write, root: Path) -> None:
    """A module of the author's own that is missing has nothing to do with the version."""
    write("Code", CODE + "import helpers\n", {"old.pkl": OLD})
    late = CODE.replace("pickle.load(file)", "pickle.load(file)\n        import helpers")
    write("Late", late, {"old.pkl": OLD})
    for fault in (
        one.fault for one in checker.check(discover(root), timeout=60, environ=dict(os.environ))
    ):
        assert fault
        assert "looks like code of your own" in str(fault.hint)


def test_other_warnings_are_shown_as_ever() -> None:
    """Only those about versions are kept back."""
    with warnings.catch_warnings(record=True) as shown, library_versions.watching() as found:
        warnings.simplefilter("always")
        warnings.warn("one of ours", stacklevel=1)
        warnings.warn(
            "If you are loading a serialized model, generated by an older version of XGBoost",
            stacklevel=1,
        )
    assert [str(one.message) for one in shown] == ["one of ours"]
    [note] = library_versions.described(found)
    assert note.message == "was fitted with an older version of XGBoost"
