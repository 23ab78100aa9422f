"""Imports of code beside a model's folder, and of the folder by its path in the repository."""

from __future__ import annotations

import sys

import pytest

from tests.models.code import churn
from tests.models.conftest import Repository
from tests.models.repositories import MODEL, SHARED

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


def test_data_of_a_package_that_nobody_imports(repository: Repository) -> None:
    """A package that is named where its data is read, which is all that the model does with it."""
    top = "import pkgutil\ndata = pkgutil.get_data('common', 'table.csv')"
    files = SHARED | {
        "models_serve/Churn/etls.py": MODEL.format(top=top, lazy="pass", got="data.decode()"),
        "models_serve/Churn/helpers.py": "",
    }
    assert repository(files, "Churn")["Churn"].call({}) == {"got": "1,2\n"}


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
