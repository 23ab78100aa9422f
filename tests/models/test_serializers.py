"""The formats of stored models: one contract for all, and what each refuses."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

from modelsync.errors import ArtifactCorrupt, JobFailed, ModelBroken, VersionRefused
from modelsync.models.loading import loader
from modelsync.models.serializers import cloudpickles, joblibs, libraries, registry
from modelsync.models.serializers.serializer import Owner
from modelsync.models.tables import schema
from modelsync.models.versions import FittedVersion
from tests.models import trained
from tests.models.code import fault_of
from tests.models.conftest import Find, Load, Write

X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]])
LABELS = np.array(["a", "a", "b", "b"])
NAMES = list(registry.SERIALIZERS)


class Own:
    """A model with a format of its own: the coefficients as text."""

    model: Any = None

    def dump(self, file: Any) -> None:
        file.write(b"%r" % self.model.coef_.tolist())

    def load(self, file: Any) -> None:
        self.model = LinearRegression()
        self.model.coef_, self.model.intercept_ = np.array(eval(file.read())), 0.0


def own() -> Owner:
    return Owner("", Own())


def written(obj: Any, name: str, folder: Path, owner: Owner | None = None) -> FittedVersion:
    """An object as a version in this format, written as a job does."""
    import hashlib

    owner = owner or own()
    serializer = registry.choose(obj, name, owner)
    file = folder / f"artefact{serializer.suffix}"
    found = registry.dump(serializer, obj, file, owner)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    size = file.stat().st_size
    return FittedVersion("M", 1, "k", serializer.name, digest, size, file, owner.inputs, found)


# --- the contract ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_what_is_loaded_predicts_as_what_was_stored(name: str, tmp_path: Path) -> None:
    """In each format: the same numbers, for a fresh instance."""
    model = LinearRegression(fit_intercept=False).fit(X, X @ [1.0, 2.0])
    version = written(model, name, tmp_path)
    found = registry.load(version, own())
    assert np.allclose(found.predict(X), model.predict(X), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_is_not_what_was_stored_is_not_read(name: str, tmp_path: Path) -> None:
    """In each format the SHA-256 is compared first: a pickle would run code."""
    version = written(LinearRegression(fit_intercept=False).fit(X, X[:, 0]), name, tmp_path)
    content = version.file.read_bytes()
    for changed in (content[:-1], content + b".", pickle.dumps(print)):
        version.file.write_bytes(changed)
        with pytest.raises(ArtifactCorrupt, match="its SHA-256 is"):
            registry.load(version, own())
    version.file.unlink()
    with pytest.raises(ArtifactCorrupt, match="cannot be read: No such file"):
        registry.load(version, own())


@pytest.mark.parametrize("name", NAMES)
def test_the_libraries_that_wrote_it_are_named(name: str, tmp_path: Path) -> None:
    """In each format, Python and what the object's classes come from are recorded."""
    found = written(LinearRegression(fit_intercept=False).fit(X, X[:, 0]), name, tmp_path).libraries
    assert {"Python", "numpy", "scikit-learn"} <= found.keys()
    assert libraries.differences(found) == {}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "own"])
def test_a_classifier_keeps_its_labels_and_probabilities(name: str, tmp_path: Path) -> None:
    """In each format that holds estimators."""
    model = LogisticRegression().fit(X, LABELS)
    found = registry.load(written(model, name, tmp_path), own())
    assert found.predict(X).tolist() == model.predict(X).tolist()
    assert np.allclose(found.predict_proba(X), model.predict_proba(X), atol=1e-5)
    assert found.classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize("name", NAMES)
def test_an_object_that_a_format_cannot_hold_is_refused(name: str, tmp_path: Path) -> None:
    """The message names the format and the type; of the others one may do."""
    owner = Owner("", SimpleNamespace())
    with pytest.raises(JobFailed) as caught:
        written(SimpleNamespace(lock=__import__("threading").Lock()), name, tmp_path, owner)
    assert (caught.value.stage, "SimpleNamespace" in str(caught.value)) == ("serialise", True)
    assert f"{name} cannot store the fitted SimpleNamespace" in str(caught.value)


# --- the choice -----------------------------------------------------------------------------------


def test_the_automatic_choice() -> None:
    """joblib for what others can import and holds arrays, cloudpickle for the rest, or its own."""
    plain = Owner("", SimpleNamespace())
    model = LinearRegression().fit(X, X[:, 0])
    assert registry.choose(model, "auto", plain).name == "joblib"
    assert registry.choose(make_pipeline(StandardScaler(), model), "", plain).name == "joblib"
    assert registry.choose({"lookup": 1}, "auto", plain).name == "cloudpickle"
    assert registry.choose({"f": lambda x: x, "m": model}, "auto", plain).name == "cloudpickle"
    assert registry.choose(model, "auto", own()).name == "own"


def test_a_format_that_does_not_exist_or_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are named, with what to do."""
    with pytest.raises(JobFailed, match="no serializer 'pmml'; there are auto, cloudpickle"):
        registry.choose({}, "pmml", own())
    monkeypatch.setattr(registry, "find_spec", lambda name: None if name == "joblib" else name)
    with pytest.raises(JobFailed, match=r"needs joblib: add it to .* requirements\.txt"):
        registry.choose({}, "joblib", own())
    assert registry.choose(np.ones(2), "auto", Owner("", None)).name == "cloudpickle"


def test_an_environment_without_cloudpickle(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What others can import is stored all the same; code of the folder is not."""
    monkeypatch.setattr(cloudpickles, "find_spec", lambda name: None)
    plain = Owner("", SimpleNamespace())
    version = written({"mean": 3.5}, "auto", tmp_path, plain)
    assert (version.serializer, version.file.read_bytes()) == (
        "cloudpickle",
        pickle.dumps({"mean": 3.5}, protocol=5),
    )
    with pytest.raises(JobFailed, match=r"needs cloudpickle: add that to .* requirements\.txt"):
        written({"mean": lambda x: x}, "auto", tmp_path, plain)


def test_skops_lists_what_it_does_not_trust(tmp_path: Path) -> None:
    """The types, by name; the class of the model may trust some."""
    forest = RandomForestClassifier(2).fit(X, LABELS)
    with pytest.raises(JobFailed) as caught:
        written(forest, "skops", tmp_path)
    assert "skops does not trust its types sklearn.tree._tree.Tree" in str(caught.value)
    assert "cloudpickle or joblib or onnx or own can" in str(caught.value)
    trusting = Owner("", SimpleNamespace(trusted_types=["sklearn.tree._tree.Tree"]))
    version = written(forest, "skops", tmp_path, trusting)
    assert registry.load(version, trusting).predict(X).tolist() == forest.predict(X).tolist()
    with pytest.raises(ModelBroken, match=r"does not trust: sklearn.tree._tree.Tree"):
        registry.load(version, own())


def test_onnx_of_mixed_columns(tmp_path: Path) -> None:
    """Texts and numbers are inputs of their own, by name, from the frame that was fitted."""
    import pandas as pd

    frame = pd.DataFrame({"kind": ["a", "b", "a", "b"], "size": [1.0, 2.0, 3.0, 4.0]})
    columns = make_column_transformer((OneHotEncoder(), ["kind"]), (StandardScaler(), ["size"]))
    model = make_pipeline(columns, LogisticRegression()).fit(frame, LABELS)
    owner = Owner("", None, schema.of_data(frame))
    found = registry.load(written(model, "onnx", tmp_path, owner), owner)
    assert found.predict(frame).tolist() == model.predict(frame).tolist()
    assert np.allclose(found.predict_proba(frame), model.predict_proba(frame), atol=1e-4)


def test_onnx_of_somebody_else_gives_probabilities_as_rows(tmp_path: Path) -> None:
    """skl2onnx gives an object by label for each row, unless it is asked not to."""
    from skl2onnx import to_onnx

    x = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
    estimator = LogisticRegression().fit(x, [0, 0, 1, 1])
    file = tmp_path / "model.onnx"
    file.write_bytes(to_onnx(estimator, x).SerializeToString())
    loaded = registry.SERIALIZERS["onnx"].load(file, Owner(), True)
    assert np.allclose(loaded.predict_proba(x), estimator.predict_proba(x), atol=1e-5)


def test_onnx_needs_no_sample_and_names_what_it_cannot_convert(tmp_path: Path) -> None:
    """The number of columns is the estimator's; another library's model is refused."""
    tree = DecisionTreeRegressor().fit(X, X[:, 0])
    found = registry.load(written(tree, "onnx", tmp_path), own())
    assert not hasattr(found, "predict_proba")
    with pytest.raises(JobFailed, match="onnx cannot store the fitted OnnxModel"):
        written(found, "onnx", tmp_path)


# --- memory ---------------------------------------------------------------------------------------


def test_large_arrays_stay_in_the_file(tmp_path: Path) -> None:
    """All processes share them; for an update they are in memory, and may be written."""
    model = LinearRegression().fit(X, X[:, 0])
    model.coef_ = np.ones(joblibs.MAPPED_FROM // 8)
    version = written(model, "joblib", tmp_path)
    mapped = registry.load(version, own())
    assert isinstance(mapped.coef_, np.memmap)
    assert not mapped.coef_.flags.writeable
    changed = registry.load(version, own(), mapped=False)
    changed.coef_[0] = 2.0
    assert registry.load(version, own()).coef_[0] == 1.0


# --- code of the folder ---------------------------------------------------------------------------

HELPERS = "FACTOR = {}\ndef scaled(x):\n    return [FACTOR * value for [value] in x]\n"
BY_VALUE = """
import helpers
from helpers import scaled

class Inner:
    def predict(self, x):
        return [a + b for a, b in zip(scaled(x), helpers.scaled(x))]

class Churn:
    def fit(self, x: list, y=None):
        return Inner()
    def predict(self, x: list):
        return self.model.predict(x)
"""


def test_a_version_goes_on_when_the_code_is_another(
    write: Write, find: Find, tmp_path: Path
) -> None:
    """Classes of the folder, and the modules that they use, are stored by value."""
    write("Churn", BY_VALUE, {"helpers.py": HELPERS.format(3)})
    version = trained.fit(find("Churn"), {"x": [[1], [2]]}, tmp_path)
    assert version.serializer == "cloudpickle"
    write("Churn", BY_VALUE.replace("Inner", "Renamed"), {"helpers.py": HELPERS.format(100)})
    model = loader.load(find("Churn"), fitted=version)
    assert trained.ask(model, {"x": [[1], [2]]}) == {"y": [6, 12]}
    loader.unload(model)
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).predict([[1]]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('modelsync' in sys.modules)", str(version.file)],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("[6]\nFalse\n", "")


def test_joblib_refuses_code_of_the_folder(write: Write, find: Find, tmp_path: Path) -> None:
    """It would only be found under its name, which the next release has not."""
    write("Churn", BY_VALUE, {"helpers.py": HELPERS.format(3)})
    with pytest.raises(JobFailed, match=r"functions of the model's folder.*cloudpickle can"):
        trained.fit(find("Churn"), {"x": [[1]]}, tmp_path, wanted="joblib")


@pytest.mark.parametrize("annotation", ["", ": str", ": Path"])
def test_an_own_format_gets_a_file_or_its_path(
    write: Write, find: Find, tmp_path: Path, annotation: str
) -> None:
    """As its parameter is annotated."""
    reads = "file.read()" if not annotation else "open(file, 'rb').read()"
    writes = "file.write(b'%d' % self.model)" if not annotation else "Path(file).write_bytes(b'7')"
    write("Churn", f"""
    from pathlib import Path
    class Churn:
        def fit(self, x): return 7
        def predict(self, x): return [self.model] * len(x)
        def dump(self, file{annotation}): {writes}
        def load(self, file{annotation}): return int({reads})
    """.replace("\n    ", "\n"))  # fmt: skip
    version = trained.fit(find("Churn"), {"x": [[1]]}, tmp_path)
    assert (version.serializer, version.file.read_bytes()) == ("own", b"7")
    model = loader.load(find("Churn"), fitted=version)
    assert trained.ask(model, {"x": [[1], [2]]}) == {"y": [7, 7]}
    loader.unload(model)


# --- versions of libraries ------------------------------------------------------------------------


def test_other_libraries_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning in the log, or a refusal, as the setting says."""
    monkeypatch.setattr(libraries, "_warned", set())
    version = written(LinearRegression().fit(X, X[:, 0]), "joblib", tmp_path)
    old = replace(version, libraries={**version.libraries, "scikit-learn": "0.24.1", "gone": "1.0"})
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            registry.load(old, own())
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("version 1 of M was fitted with scikit-learn 0.24.1 (here is ")
    assert "gone 1.0 (here it is not installed)" in line
    with pytest.raises(VersionRefused, match=r"scikit-learn 0\.24\.1 .*: fit it again"):
        registry.load(old, own(), mismatch="refuse")
    micro = version.libraries["scikit-learn"].rpartition(".")[0] + ".99"
    registry.load(
        replace(version, libraries={"scikit-learn": micro}), own(), mismatch="refuse"
    )  # a fix of the same version


def test_code_of_another_python_is_never_run(tmp_path: Path) -> None:
    """Its instructions are others: it could end the process."""
    version = written({"a": 1}, "cloudpickle", tmp_path, Owner("", None))
    old = replace(version, libraries={"Python": "3.9.1"})
    with pytest.raises(VersionRefused, match="its code runs in no other Python"):
        registry.load(old, own())


def test_the_loader_tells_why(write: Write, find: Find, tmp_path: Path) -> None:
    """A version that cannot be used is a fault of the model, and the cause is kept."""
    write("Forest", trained.FOREST)
    version = trained.fit(find("Forest"), {"x": [[1], [2]], "y": [0, 1]}, tmp_path)
    old = replace(version, libraries={"scikit-learn": "0.1"})
    with pytest.raises(ModelBroken) as caught:
        loader.load(find("Forest"), fitted=old, mismatch="refuse")
    assert isinstance(caught.value.__cause__, VersionRefused)
    version.file.write_bytes(b"damaged")
    with pytest.raises(ModelBroken) as caught:
        loader.load(find("Forest"), fitted=version)
    assert isinstance(caught.value.__cause__, ArtifactCorrupt)
    assert str(tmp_path) not in fault_of(caught.value).message
    unknown = replace(version, serializer="pmml", sha256=_digest(version.file))
    with pytest.raises(ModelBroken, match="stored as 'pmml'; known are cloudpickle"):
        loader.load(find("Forest"), fitted=unknown)


def _digest(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_skops_file_of_somebody_else(tmp_path: Path, serve: Load) -> None:
    """An upload is a plain skops file; what it holds is checked in the same way."""
    file = tmp_path / "artefact.skops"
    skops.io.dump(LogisticRegression().fit(X, LABELS), file)
    version = FittedVersion("M", 1, "k", "skops", _digest(file), 1, file)
    assert registry.load(version, own()).predict(X).tolist() == list(LABELS)
