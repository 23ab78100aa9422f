"""Imports of a model's own modules, which no other model and no library sees."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.models.code import broken, churn
from tests.models.conftest import Find, Load, Write

HELPED = """
{imports}

class Churn:
    def transform_predict(self, variables):
        {lazy}
        return {{"who": {expression}}}
"""

FILES: dict[str, str | bytes] = {
    "helpers.py": "import other\nWHO = 'helpers ' + other.WHO\n",
    "other.py": "WHO = 'other'\n",
    "pkg/__init__.py": "",
    "pkg/sub.py": "from . import near\nimport other\nWHO = near.WHO + ' ' + other.WHO\n",
    "pkg/near.py": "WHO = 'near'\n",
    "space/deep.py": "WHO = 'deep'\n",
}


@pytest.mark.parametrize(
    ("statement", "expression", "result"),
    [
        ("import helpers", "helpers.WHO", "helpers other"),
        ("import helpers as h", "h.WHO", "helpers other"),
        ("from helpers import WHO", "WHO", "helpers other"),
        ("from helpers import *", "WHO", "helpers other"),
        ("from .helpers import WHO", "WHO", "helpers other"),
        ("from . import helpers", "helpers.WHO", "helpers other"),
        ("import pkg.sub", "pkg.sub.WHO", "near other"),
        ("import pkg.sub as s", "s.WHO", "near other"),
        ("from pkg import sub", "sub.WHO", "near other"),
        ("from pkg.sub import WHO", "WHO", "near other"),
        ("from .pkg.sub import WHO", "WHO", "near other"),
        ("import space.deep", "space.deep.WHO", "deep"),
        ("from space.deep import WHO", "WHO", "deep"),
        ("helpers = __import__('helpers')", "helpers.WHO", "helpers other"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_helper_modules_are_found(
    serve: Any, statement: Any, expression: Any, result: Any, lazy: Any
) -> None:
    """Absolute and relative imports work at the top and inside a method that runs later."""
    if lazy and "*" in statement:
        pytest.skip("Python allows * at the top only")
    etls = HELPED.format(
        imports="" if lazy else statement, lazy=statement if lazy else "pass", expression=expression
    )
    assert serve(etls, FILES).call({}) == {"who": result}
    assert not {"helpers", "other", "pkg", "space", "etls"} & set(sys.modules)
    assert not any("models_serve" in place for place in sys.path)


def test_helpers_of_the_same_name_do_not_mix(serve: Load) -> None:
    """Two folders may both hold helpers.py, also as lazily imported."""
    etls = HELPED.format(
        imports="import helpers", lazy="import late", expression="helpers.WHO + late.WHO"
    )
    models = [
        serve(etls, {"helpers.py": f"WHO = '{x}'", "late.py": f"WHO = '{x}'"}, name=x)
        for x in ("A", "B")
    ]
    assert [model.call({})["who"] for model in models] == ["AA", "BB"]


def test_a_helper_named_like_the_standard_library_is_the_models_alone(serve: Any) -> None:
    """A helper json.py is json for its own model's code alone."""
    loaded = serve(
        HELPED.format(
            imports="import json, yaml\nimport logging.config",
            lazy="import json as j",
            expression="json.WHO + j.WHO + yaml.WHO",
        ),
        {"json.py": "import math\nWHO = 'mine'", "yaml.py": "WHO = 'too'", "logging_.py": ""},
    )
    assert loaded.call({}) == {"who": "minemine" + "too"}
    import yaml

    assert sys.modules["json"] is json
    assert json.loads("[1]") == [1]
    assert hasattr(yaml, "safe_load")


def test_a_data_folder_does_not_hide_a_library(serve: Load) -> None:
    """A folder without Python files is data, whatever its name."""
    loaded = serve(
        HELPED.format(imports="import orjson", lazy="pass", expression="orjson.dumps(1).decode()"),
        {"orjson/x.txt": "x"},
    )
    assert loaded.call({}) == {"who": "1"}


def test_libraries_see_no_helper(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that tries `import ujson` during a load does not get the model's ujson.py."""
    (tmp_path / "trying_library.py").write_text(
        "try:\n    import fastthing\nexcept ImportError:\n    fastthing = None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    serve(churn(top="import trying_library, fastthing"), {"fastthing.py": "x = 1"})
    assert sys.modules.pop("trying_library").fastthing is None


def test_a_path_that_a_model_adds_is_taken_back(serve: Any) -> None:
    """`sys.path.insert` works during the load, and the next model finds its own modules."""
    etls = churn(
        top="import sys, os\nsys.path.insert(0, os.path.dirname(__file__) + '/lib')\n"
        "import feature",
        predict="return {'who': feature.WHO}",
    )
    models = [serve(etls, {"lib/feature.py": f"WHO = '{x}'"}, name=x) for x in ("A", "B")]
    assert [model.call({})["who"] for model in models] == ["A", "B"]
    assert "feature" not in sys.modules
    assert not any("models_serve" in place for place in sys.path)


@pytest.mark.parametrize(
    "load_",
    [
        "pickle.load(open(path + 'm.pkl', 'rb'))",
        "joblib.load(path + 'm.pkl')",
        "pd.read_pickle(path + 'm.pkl')",
        "pickle.load(open('m.pkl', 'rb'))",
    ],
)
def test_pickles_find_the_classes_of_helper_modules(
    serve: Load, tmp_path: Path, load_: str
) -> None:
    """A pickle that names `scalers.Scaler` gets the class that the model's code has."""
    (tmp_path / "scalers.py").write_text(
        "class Scaler:\n    def __init__(self, by): self.by = by\n"
    )
    code = f"""import sys, pickle; sys.path.insert(0, {str(tmp_path)!r})
import scalers; sys.stdout.buffer.write(pickle.dumps(scalers.Scaler(3)))"""
    pickled = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    loaded = serve(
        churn(
            f"self.scaler = {load_}",
            "import pickle, joblib, scalers\nimport pandas as pd",
            "return {'by': self.scaler.by, 'same': type(self.scaler) is scalers.Scaler}",
        ),
        {"m.pkl": pickled, "scalers.py": "class Scaler:\n    pass\n"},
    )
    assert loaded.call({}) == {"by": 3, "same": True}
    assert "scalers" not in sys.modules


def test_a_pickle_of_main_gets_advice(serve: Any) -> None:
    """The most common broken pickle gets a hint."""
    pickled = b"c__main__\nScalerOfMain\n."
    fault = broken(
        serve, churn("pickle.load(open(path + 'm.pkl', 'rb'))", "import pickle"), {"m.pkl": pickled}
    )
    assert "Can't get attribute 'ScalerOfMain'" in fault.message
    assert fault.message.endswith("on <module '__main__'>")
    assert (
        "put it into a module beside the model (helpers.py), import it from there and pickle again"
        in str(fault.hint)
    )


@pytest.mark.parametrize(
    ("statement", "module", "hint"),
    [
        ("from ..common import feature", "common", "it looks like code of your own"),
        ("import utils", "utils", "neither utils.py nor utils/ with modules is in"),
        ("from src.features import x", "src", "is it committed?"),
        ("import churn_features", "churn_features", "it looks like code of your own"),
        ("import Other.features", "Other", "it looks like code of your own"),
        ("import helpers.missing", "helpers.missing", "helpers is code of this folder, and has no"),
        ("from .missing import x", "missing", "it looks like code of your own"),
        ("from Churn.missing import x", "missing", "in the model's folder: is it committed?"),
    ],
)
def test_no_hint_sends_anybody_to_a_package_of_a_stranger(
    serve: Any, write: Write, statement: str, module: str, hint: str
) -> None:
    """What is a name of the repository, or looks like one, is no library to install."""
    write("Other", churn())
    fault = broken(serve, churn(top=statement), {"helpers/__init__.py": ""})
    assert fault.message.startswith(f"ModuleNotFoundError: No module named '{module}'")
    assert (fault.file, fault.line) == ("etls.py", 2)
    assert hint in str(fault.hint)
    assert "requirements" not in str(fault.hint)


SHAPES = """
from __future__ import annotations
import dataclasses

@dataclasses.dataclass(frozen=True)
class P:
    x: int = 0
"""


def test_dataclasses_and_type_hints_of_helpers_work(serve: Load) -> None:
    """Libraries that look a class's module up by name find it."""
    loaded = serve(
        HELPED.format(
            imports="from shapes import P\nimport typing, copy, pickle",
            lazy="pass",
            expression="[str(typing.get_type_hints(P)), pickle.loads(pickle.dumps(P(1))) == P(1)]",
        ),
        {"shapes.py": SHAPES},
    )
    assert loaded.call({}) == {"who": ["{'x': <class 'int'>}", True]}


def test_no_byte_code_is_written_nor_read(serve: Any, root: Path) -> None:
    """A release is never modified, and committed byte code does not replace its source."""
    serve(
        HELPED.format(imports="import helpers", lazy="pass", expression="1"),
        {"helpers.py": "x = 1"},
    )
    assert not list(root.rglob("*.pyc"))


def test_the_same_version_can_be_loaded_twice(write: Write, find: Find, serve: Load) -> None:
    """Two copies have modules of their own."""
    one, two = serve(churn()), serve(churn())
    assert type(one.instance) is not type(two.instance)
