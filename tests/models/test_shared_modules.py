"""Imports of code beside a model's folder, and of the folder by its path in the repository."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from modelsync.sync.shared_folders import share

from modelsync.errors import ModelBroken
from modelsync.files import copy_tree
from modelsync.models.discovery.folders import discover
from modelsync.models.discovery.repository_files import FolderFiles
from modelsync.models.isolation import patches, plain_names
from modelsync.models.isolation.model_package import ROOT
from modelsync.models.loading.loader import load, unload
from modelsync.models.types import LoadedModel
from tests.models.code import churn, fault_of

Repository = Callable[..., dict[str, LoadedModel]]

MODEL = """
{top}

class Churn:
    def __init__(self, path):
        self.path = path

    def transform_predict(self, variables):
        {lazy}
        return {{"got": {got}}}
"""

SHARED = {
    "utils.py": "import logging\nLOG = logging.getLogger(__name__)\nWHO = 'utils'\n"
    "class Scaler:\n    by = 3\n",
    "logging.py": "1 / 0  # no model means this one\n",
    "common/__init__.py": "from .features import *\n__all__ = ['FEATURES', 'late']\n",
    "common/features.py": "from ..utils import WHO\nfrom utils import Scaler\n"
    "FEATURES = 'features of ' + WHO\n",
    "common/late.py": "WHO = 'late'\n",
    "common/table.csv": "1,2\n",
    "src/model/steps.py": "from src.model import more\nWHO = 'steps ' + more.WHO\n",
    "src/model/more.py": "WHO = 'more'\n",
    "models_serve/near.py": "WHO = 'near'\n",
    "models_serve/Other/etls.py": churn().replace("Churn", "Other"),
    "models_serve/Other/features.py": "import own\nfrom . import own as same\n"
    "class Feature:\n    who = own.WHO\n    same = own is same\n",
    "models_serve/Other/own.py": "WHO = 'own of Other'\n",
    "models_serve/Churn/helpers.py": "import common.features\n\nclass Scaler:\n    by = 2\n",
    "models_serve/Churn/pkg/deep.py": "from ...near import WHO\nfrom ..helpers import Scaler\n",
}


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """Write a repository, and load its models with the shared files that a release would have."""
    patches.install()
    loaded: list[LoadedModel] = []

    def load_all(
        files: dict[str, str], *names: str, subdir: str = "models_serve", at: str = "a"
    ) -> dict[str, LoadedModel]:
        top = tmp_path / at
        for name, content in files.items():
            file = top / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(content))
        release = tmp_path / f"release-{at}"
        (release / "models_serve").mkdir(parents=True, exist_ok=True)
        specs = []
        for spec in discover(top / subdir, subdir=subdir):
            folder = release / "models_serve" / spec.name
            if not folder.exists():
                copy_tree(spec.path, folder)
            specs += [replace(spec, path=folder)] if spec.name in names else []
        models = [load(spec) for spec in share(specs, FolderFiles(top), release / "shared")]
        loaded.extend(models)
        return {str(model.name): model for model in models}

    yield load_all
    for model in loaded:
        unload(model)
    assert [name for name in sys.modules if name.startswith(f"{ROOT}.")] == []
    assert [name for name in sys.modules if name in ("utils", "common", "Churn", "helpers")] == []


STATEMENTS = [
    ("import utils", "utils.WHO", "utils"),
    ("import utils as u", "u.WHO", "utils"),
    ("import common.features as f", "f.FEATURES", "features of utils"),
    ("import common.features", "common.features.FEATURES", "features of utils"),
    ("from common import FEATURES", "FEATURES", "features of utils"),
    ("from common import late", "late.WHO", "late"),
    ("from src.model.steps import WHO", "WHO", "steps more"),
    ("import src.model.steps", "src.model.steps.WHO", "steps more"),
    ("import near", "near.WHO", "near"),
    ("from models_serve import near", "near.WHO", "near"),
    ("from models_serve.near import WHO", "WHO", "near"),
    ("from ..near import WHO", "WHO", "near"),
    ("from .. import near", "near.WHO", "near"),
    ("from ...common.late import WHO", "WHO", "late"),
    ("from ... import utils", "utils.WHO", "utils"),
    ("from Other.features import Feature", "Feature.who", "own of Other"),
    ("from Other.features import Feature", "Feature.same", True),
    ("from models_serve.Other.features import Feature", "Feature.who", "own of Other"),
    ("from ..Other.features import Feature", "Feature.who", "own of Other"),
    ("from pkg.deep import WHO", "WHO", "near"),
    ("from Churn.helpers import Scaler", "Scaler.by", 2),
    ("from models_serve.Churn.helpers import Scaler", "Scaler.by", 2),
    ("import models_serve.Churn.helpers", "models_serve.Churn.helpers.Scaler.by", 2),
    ("import models_serve.Churn.helpers as h", "h.Scaler.by", 2),
    ("from models_serve.Churn import helpers", "helpers.Scaler.by", 2),
    ("from importlib import import_module as i", "i('utils').WHO", "utils"),
    ("import importlib as i", "i.import_module('common.late').WHO", "late"),
    ("import importlib as i", "i.import_module('..near', __package__).WHO", "near"),
    ("import importlib as i", "i.import_module('Churn.helpers').Scaler.by", 2),
    ("utils = __import__('utils')", "utils.WHO", "utils"),
    ("exec('import utils', globals())", "utils.WHO", "utils"),
    ("import pkgutil, common.late", "pkgutil.resolve_name('common.late:WHO')", "late"),
    (
        "import pkgutil, common.late",
        "sorted(m.name for m in pkgutil.walk_packages(common.__path__, 'common.'))",
        ["common.features", "common.late"],
    ),
    (
        "import common, importlib.resources as r",
        "(r.files('common') / 'table.csv').read_text()",
        "1,2\n",
    ),
    (
        "import common, importlib.resources as r",
        "(r.files(common) / 'table.csv').read_text()",
        "1,2\n",
    ),
]


def test_shared_modules_are_found(repository: Repository) -> None:
    """By every way in which Python code imports, at the top and in a function that runs later."""
    files = dict(SHARED)
    for number, (statement, got, _) in enumerate(STATEMENTS):
        lazy = f"def get():\n    {statement}\n    return {got}\n"
        if "exec" in statement:
            lazy = lazy.replace("def get():", "def get():\n    global utils")
        files[f"models_serve/Churn/late{number}.py"] = lazy
        files[f"models_serve/Churn/top{number}.py"] = f"{statement}\ndef get(): return {got}\n"
    names = [f"{kind}{number}" for kind in ("top", "late") for number in range(len(STATEMENTS))]
    listed = ", ".join(names)
    files["models_serve/Churn/etls.py"] = MODEL.format(
        top=f"import {listed}", lazy="pass", got=f"[one.get() for one in ({listed})]"
    )
    model = repository(files, "Churn")["Churn"]
    expected = [(statement, result) for statement, _, result in STATEMENTS]
    for _ in range(2):
        found = model.call({})["got"]
        assert list(zip([one for one, _ in expected] * 2, found, strict=True)) == expected * 2


def test_one_file_is_one_module(repository: Repository) -> None:
    """Whatever path an import takes, a class is the same object, so that isinstance holds."""
    etls = """
    import sys
    from common import *
    from helpers import Scaler as A
    from .helpers import Scaler as B
    from Churn.helpers import Scaler as C
    from models_serve.Churn.helpers import Scaler as D
    import common.features, near, models_serve.near as near2
    from Other.features import Feature as F
    from models_serve.Other.features import Feature as G
    from utils import Scaler as S
    import pkg.deep

    class Churn:
        def transform_predict(self, variables):
            import utils
            return {"same": [A is B is C is D is pkg.deep.Scaler, near is near2, F is G,
                             S is common.features.Scaler is utils.Scaler, late.WHO, FEATURES]}
    """
    model = repository({**SHARED, "models_serve/Churn/etls.py": etls}, "Churn")["Churn"]
    assert model.call({})["same"] == [True, True, True, True, "late", "features of utils"]


def test_versions_never_mix(repository: Repository) -> None:
    """Two states of the same file serve side by side, and so do the globals of two models."""
    etls = MODEL.format(top="import utils", lazy="utils.SEEN += 1", got="[utils.SEEN, utils.WHO]")
    files = {"models_serve/A/etls.py": etls, "models_serve/B/etls.py": etls}
    old = repository({**files, "utils.py": "SEEN = 0\nWHO = 'old'"}, "A", "B", at="old")
    new = repository({**files, "utils.py": "SEEN = 10\nWHO = 'new'"}, "A", at="new")
    assert [old["A"].call({}), old["A"].call({}), old["B"].call({}), new["A"].call({})] == [
        {"got": [1, "old"]},
        {"got": [2, "old"]},
        {"got": [1, "old"]},
        {"got": [11, "new"]},
    ]
    assert old["A"].version != new["A"].version


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


def _pickle(name: str) -> str:
    """An instance of a class as code of its pickle, since there is no such class here."""
    module, _, kind = name.rpartition(".")
    return f"b'\\x80\\x02c{module}\\n{kind}\\n)\\x81.'"


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
        for name, data in {{{", ".join(f"{name!r}: {_pickle(name)}" for name in PICKLED)}}}.items():
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
                found.append(type(pickle.loads({_pickle("utils.Scaler")})) is Scaler)
                found.append(type(pickle._loads({_pickle("utils.Scaler")})) is Scaler)
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
        top="import pickle, utils", lazy=f"got = pickle.loads({_pickle('utils.Scaler')})",
        got="got.by",
    )  # fmt: skip
    model = repository({**SHARED, "models_serve/Churn/etls.py": etls}, "Churn")["Churn"]
    assert model.call({}) == {"got": 3}
    plain_names.forget()
    assert "utils" in sys.modules
    plain_names.forget()
    assert "utils" not in sys.modules
    assert model.call({}) == {"got": 3}


@pytest.mark.parametrize(
    "statement",
    [
        "import sys, os; sys.path.append(os.path.join(os.path.dirname(__file__), '..', '..'))",
        "import sys; sys.path.insert(0, '..'); sys.path.insert(0, '../..')",
        "import sys; from pathlib import Path; sys.path.append(str(Path(__file__).parents[2]))",
        "import sys; from pathlib import Path\n"
        "sys.path.append(str(Path(__file__).resolve().parents[2] / 'src'))",
        "import sys; sys.path.append('../../src')",
    ],
)
def test_paths_that_a_model_adds_lead_to_shared_code(
    repository: Repository, statement: str
) -> None:
    """Later calls find it too, and nothing of it stays in `sys.modules` or `sys.path`."""
    module = "model.steps" if "src" in statement else "src.model.steps"
    etls = MODEL.format(
        top=f"{statement}\nfrom {module} import WHO\nimport near\n"
        "if not WHO: import src.model.steps",
        lazy=f"import {module} as again, utils",
        got="[WHO, again.WHO, near.WHO, utils.WHO]",
    )
    before = list(sys.path)
    model = repository({**SHARED, "models_serve/Churn/etls.py": etls}, "Churn")["Churn"]
    assert model.call({}) == {"got": ["steps more", "steps more", "near", "utils"]}
    assert sys.path == before
    assert not {"near", "src", "model"} & set(sys.modules)


@pytest.mark.parametrize("subdir", ["", "ml/models"])
def test_repositories_of_other_shapes(repository: Repository, subdir: str) -> None:
    """Models at the top of the repository, or two folders below it."""
    at = f"{subdir}/" if subdir else ""
    nested = "from ml.models.Churn.helpers import A as B\nfrom ml.base import C" if subdir else ""
    etls = MODEL.format(
        top="import utils\nfrom ..near import WHO\nfrom Churn.helpers import A\n"
        f"from Other.x import X\n{nested}",
        lazy="pass",
        got="[utils.WHO, WHO, A, X]",
    )
    files = {
        f"{at}Churn/etls.py": etls,
        f"{at}Churn/helpers.py": "A = 'a'",
        f"{at}Other/etls.py": churn(),
        f"{at}Other/x.py": "X = 'x'",
        f"{at}near.py": "WHO = 'near'",
        "utils.py": "WHO = 'utils'",
        "ml/base.py": "C = 'c'",
    }
    model = repository(files, "Churn", subdir=subdir)["Churn"]
    assert model.call({}) == {"got": ["utils", "near", "a", "x"]}


def test_what_serves_today_goes_on(repository: Repository) -> None:
    """The libraries that a model imports are not hidden by folders of the repository."""
    etls = MODEL.format(
        top="import joblib, yaml, logging, orjson, statistics\nimport sklearn.linear_model",
        lazy="pass",
        got="[hasattr(yaml, 'safe_load'), hasattr(joblib, 'load'), hasattr(orjson, 'dumps')]",
    )
    files = {
        "models_serve/Churn/etls.py": etls,
        "models_serve/joblib/etls.py": churn(),
        "models_serve/joblib/__init__.py": "",
        "models_serve/yaml/etls.py": churn(),
        "sklearn/data.csv": "",
        "sklearn/prepare.py": "",
        "orjson/x.py": "",
        "statistics.py": "1 / 0",
    }
    assert repository(files, "Churn")["Churn"].call({}) == {"got": [True, True, True]}


def test_a_circle_of_the_folder_and_shared_code(repository: Repository) -> None:
    """Shared code imports the model's folder, which imports the shared code."""
    files = {
        "models_serve/Churn/etls.py": MODEL.format(
            top="from models_serve.Churn.helpers import f", lazy="pass", got="f()"
        ),
        "models_serve/Churn/helpers.py": "import common.base as b\ndef f(): return b.g()\nX = 1\n",
        "common/base.py": "from models_serve.Churn import helpers\n"
        "import models_serve.Churn.helpers\ndef g():\n"
        "    return [helpers.X, models_serve.Churn.helpers is helpers]\n",
    }
    assert repository(files, "Churn")["Churn"].call({}) == {"got": [1, True]}


SHAPES = """
from __future__ import annotations
import dataclasses, enum, typing

class Kind(enum.Enum):
    A = "a"

@dataclasses.dataclass
class Row:
    kind: Kind
    rest: list[Row] = dataclasses.field(default_factory=list)

if __name__ == "__main__":
    raise SystemExit("a script's part")
"""


def test_shared_classes_are_looked_up_by_name(repository: Repository) -> None:
    """`typing`, `copy`, `pickle` and `inspect` find them; `__name__` is no script's."""
    etls = MODEL.format(
        top="import copy, inspect, pickle, typing\nfrom shapes import Kind, Row",
        lazy="row = Row(Kind.A, [Row(Kind.A)])",
        got="[typing.get_type_hints(Row)['kind'] is Kind, pickle.loads(pickle.dumps(row)) == row,"
        " copy.deepcopy(row) == row, 'class Row' in inspect.getsource(Row),"
        " inspect.getmodule(Row).Row is Row]",
    )
    files = {"models_serve/Churn/etls.py": etls, "shapes.py": SHAPES}
    assert repository(files, "Churn")["Churn"].call({}) == {"got": [True] * 5}


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


@pytest.mark.parametrize(
    ("etls", "files", "message", "place"),
    [
        ("import utils", {"utils.py": "\n1 / 0"}, "ZeroDivisionError", ("utils.py", 2)),
        ("import utils", {"utils.py": "x = ("}, "SyntaxError", ("utils.py", 1)),
        ("import near", {"models_serve/near.py": "a.b"}, "NameError", ("models_serve/near.py", 1)),
        (
            "from common.x import f\nf()",
            {"common/x.py": "def f():\n    raise ValueError(__file__)"},
            "ValueError: common/x.py",
            ("common/x.py", 2),
        ),
        (
            "import common.x",
            {"common/x.py": "import catboost_nowhere.y"},
            "No module named 'catboost_nowhere'",
            ("common/x.py", 1),
        ),
        ("import utils.x", {"utils.py": ""}, "No module named 'utils.x'", ("etls.py", 2)),
    ],
)
def test_a_fault_names_the_shared_file(
    repository: Repository, tmp_path: Path, etls: str, files: dict[str, str], message: str,
    place: tuple[str, int],
) -> None:  # fmt: skip
    """With the line, by its path in the repository."""
    with pytest.raises(ModelBroken) as caught:
        repository({"models_serve/Churn/etls.py": churn(top=etls), **files}, "Churn")
    fault = fault_of(caught.value)
    assert message in fault.message
    assert (fault.file, fault.line) == place
    assert str(tmp_path) not in str(fault)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("models_serve/Churn/x.csv", 'open Path(__file__).parent / "x.csv"'),
        ("Churn/x.csv", 'open Path(__file__).parent / "x.csv"'),
        ("./models_serve/Churn/sub/y.csv", 'open Path(__file__).parent / "sub/y.csv"'),
        ("data/z.csv", "put z.csv into the model's folder, and open Path(__file__).parent"),
        ("common/table.csv", 'open importlib.resources.files("common") / "table.csv"'),
        ("../../data/z.csv", "data/z.csv lies outside of the model's folder: put it there"),
    ],
)
def test_a_file_at_the_top_of_the_repository(repository: Repository, path: str, hint: str) -> None:
    """Opened by its path from there it is not found: the fault says what to write."""
    read = f"open(path + {path!r})" if path.startswith("..") else f"open({path!r})"
    files = {
        "models_serve/Churn/etls.py": churn(read, top="import common.x"),
        "models_serve/Churn/x.csv": "",
        "models_serve/Churn/sub/y.csv": "",
        "data/z.csv": "",
        "common/x.py": "",
        "common/table.csv": "",
    }
    with pytest.raises(ModelBroken) as caught:
        repository(files, "Churn")
    fault = fault_of(caught.value)
    assert (fault.file, fault.line) == ("etls.py", 6)
    assert hint in str(fault.hint)
