"""Pickles that name classes of shared code, or of the model's folder by its path."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

from modelsync.models.isolation import plain_names
from modelsync.models.loading.loader import load, unload
from tests.models import trained
from tests.models.conftest import Repository
from tests.models.repositories import MODEL, SHARED, pickled

PICKLED = [
    "utils.Scaler",
    "helpers.Scaler",
    "Churn.helpers.Scaler",
    "models_serve.Churn.helpers.Scaler",
    "models_serve.Other.features.Feature",
]

READERS = [
    "pickle.load(f)",
    "pickle._Unpickler(f).load()",
    "joblib.load(f)",
    "pd.read_pickle(f)",
    "cloudpickle.load(f)",
    "dill.load(f)",
]


@pytest.mark.parametrize("where", ["init", "call", "thread"])
def test_pickles_find_classes_by_every_name(repository: Repository, where: str) -> None:
    """While the model loads, and when it is first unpickled during a call or in a thread of it."""
    dill = find_spec("dill")
    readers = [reader for reader in READERS if dill or "dill" not in reader]
    etls = f"""
    import io, pickle, cloudpickle, joblib, sys
    from concurrent.futures import ThreadPoolExecutor
    from importlib import import_module
    import pandas as pd
    {"import dill" if dill else ""}
    import utils, helpers, Other.features

    def read():
        found = []
        for name, data in {{{", ".join(f"{name!r}: {pickled(name)}" for name in PICKLED)}}}.items():
            module, _, kind = name.rpartition(".")
            expected = getattr(import_module(module), kind)
            for reader in {readers!r}:
                found.append(type(eval(reader, globals(), {{"f": io.BytesIO(data)}})) is expected)
        return found

    class Churn:
        def __init__(self):
            self.found = read() if {where!r} == "init" else None

        def transform_predict(self, variables):
            if {where!r} == "thread":
                with ThreadPoolExecutor() as pool:
                    self.found = pool.submit(read).result()
            return {{"same": self.found or read()}}
    """
    model = repository({**SHARED, "models_serve/Churn/etls.py": etls}, "Churn")["Churn"]
    assert model.call({}) == {"same": [True] * len(PICKLED) * len(readers)}


def test_threads_of_two_models_unpickle_their_own(repository: Repository) -> None:
    """A worker's threads call models side by side that pickle classes of the same plain name."""
    etls = f"""
    import pickle, time
    from utils import Scaler

    class Churn:
        def transform_predict(self, variables):
            found = []
            for _ in range(200):
                found.append(type(pickle.loads({pickled("utils.Scaler")})) is Scaler)
                found.append(type(pickle._loads({pickled("utils.Scaler")})) is Scaler)
                time.sleep(0)
            return {{"same": all(found)}}
    """
    names = ["A", "B", "C"]
    models = [
        repository({**SHARED, f"models_serve/{name}/etls.py": etls}, name, at=at)[name]
        for name in names
        for at in ("old", "new")
    ]
    with ThreadPoolExecutor(len(models)) as pool:
        found = list(pool.map(lambda model: model.call({}), models * 3))
    assert found == [{"same": True}] * len(found)


def test_libraries_see_no_stand_in(repository: Repository, tmp_path: Path) -> None:
    """An `import` statement of a library finds no shared module, nor does another model's."""
    (tmp_path / "trying_library.py").write_text(
        "def try_it():\n    try:\n        import utils\n    except ImportError:\n"
        "        return None\n    return utils.__name__\n"
    )
    etls = f"""
    import sys
    sys.path.insert(0, {str(tmp_path)!r})
    import trying_library, utils

    class Churn:
        def transform_predict(self, variables):
            return {{"got": trying_library.try_it()}}
    """
    model = repository({**SHARED, "models_serve/Churn/etls.py": etls}, "Churn")["Churn"]
    sys.modules.pop("trying_library", None)
    assert model.call({}) == {"got": None}


def test_stand_ins_go_when_nobody_asks_for_them(repository: Repository) -> None:
    """Once a second a worker removes those that were not used since."""
    etls = MODEL.format(
        top="import pickle, utils", lazy=f"got = pickle.loads({pickled('utils.Scaler')})",
        got="got.by",
    )  # fmt: skip
    model = repository({**SHARED, "models_serve/Churn/etls.py": etls}, "Churn")["Churn"]
    assert model.call({}) == {"got": 3}
    plain_names.forget()
    assert "utils" in sys.modules
    plain_names.forget()
    assert "utils" not in sys.modules
    assert model.call({}) == {"got": 3}


def test_what_an_earlier_version_has_pickled_is_found(repository: Repository) -> None:
    """A model keeps pickles of its own, which name its classes by the label of that version."""
    etls = """
    import pickle
    from helpers import Mine
    from utils import Scaler

    class Churn:
        def __init__(self, path):
            self.path = path

        def transform_predict(self, write: str = "", read: str = ""):
            if write:
                with open(write, "wb") as f:
                    pickle.dump([Scaler(), Mine()], f)
                return {}
            with open(read, "rb") as f:
                return {"same": [type(one) for one in pickle.load(f)] == [Scaler, Mine]}
    """
    files = {
        "models_serve/Churn/etls.py": etls,
        "models_serve/Churn/helpers.py": "class Mine: pass",
        "utils.py": "class Scaler: pass\n",
    }
    old = repository(files, "Churn", at="old")["Churn"]
    kept = str(Path(old.instance.path).parent / "kept.pkl")
    old.call({"write": kept})
    unload(old)
    new = repository({**files, "utils.py": "class Scaler: by = 4\n"}, "Churn", at="new")["Churn"]
    assert new.call({"read": kept}) == {"same": True}


HELD = """
import numpy as np
from utils import SCALE, Line

class Churn:
    def fit(self, x: list, y=None):
        return Line(3)

    def predict(self, x: list):
        return self.model.predict(x)
"""

LINE = """
from common.late import WHO
SCALE = {scale}

class Line:
    def __init__(self, by):
        self.by = by * SCALE

    def predict(self, x):
        import common.late as late
        return [row[0] * self.by + (0 if late.WHO == WHO else 1000) for row in x]
"""


def test_a_fitted_object_of_shared_classes_serves_in_later_releases(
    repository: Repository, tmp_path: Path
) -> None:
    """Its code goes with it; what that imports when it runs is the code of the release."""
    files = {"models_serve/Churn/etls.py": HELD, "common/late.py": "WHO = 'late'\n"}
    old = repository({**files, "utils.py": LINE.format(scale=2)}, "Churn", at="old")["Churn"]
    version = trained.store(old, trained.fitted(old, {"x": [[1]]}), tmp_path)
    assert version.serializer == "cloudpickle"
    unload(old)
    changed = {**files, "utils.py": LINE.format(scale=100).replace("Line:", "Line:\n    more = 1")}
    spec = repository(changed, "Churn", at="new")["Churn"].spec
    new = load(spec, fitted=version)
    assert trained.ask(new, {"x": [[1], [2]]}) == {"y": [6, 12]}
    unload(new)


NOTEBOOK = """
import cloudpickle, sys
sys.path.insert(0, sys.argv[1])
import utils
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

def scale(x):
    return utils.scaled(x)

fitted = make_pipeline(FunctionTransformer(scale, validate=True), LinearRegression())
fitted.fit([[1.0], [2.0]], [1, 2])
sys.stdout.buffer.write(cloudpickle.dumps(fitted))
"""


def test_a_notebooks_function_uses_the_shared_modules_of_its_model(
    repository: Repository, tmp_path: Path
) -> None:
    """cloudpickle has stored it with the plain name of a module, of which there are two states.

    The models are such files, without any code of theirs that could ask.
    """
    (tmp_path / "utils.py").write_text("def scaled(x): return x\n")
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, str(tmp_path)], capture_output=True, check=True
    )
    found = []
    for at, factor in (("old", 2), ("new", 10)):
        files: dict[str, str | bytes] = {
            "utils.py": f"def scaled(x): return x * {factor}\n",
            "models_serve/Fit/model.pkl": done.stdout,
        }
        found.append(repository(files, "Fit", at=at)["Fit"])
    for model, expected in zip(found * 2, [6.0, 30.0] * 2, strict=True):
        assert model.context.run(model.call, {"x": [3]})["prediction"] == pytest.approx(expected)
