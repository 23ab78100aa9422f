"""Which files beside its folder a model uses: by its imports, those of what it imports, and what it
unpickles. Nothing of them runs.
"""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from modelsync.models.discovery.repository_files import FolderFiles
from modelsync.models.discovery.shared_code import SharedCode

REPOSITORY = {
    "utils.py": "",
    "json.py": "",
    "größe.py": "",
    "paths.py": "import sys\nsys.path.append('src')\n",
    "modelsync/__init__.py": "",
    "common/__init__.py": "",
    "common/features.py": "from .deep import x\n",
    "common/deep.py": "",
    "common/plugins/__init__.py": "__all__ = ['one']\n",
    "common/plugins/one.py": "import utils\n",
    "common/table.csv": "a,b\n",
    "common/data/more.csv": "a,b\n",
    "common/scripts/run.py": "",
    "common/scripts/run.csv": "a,b\n",
    "src/build.py": "",
    "src/build.csv": "a,b\n",
    "serving/__init__.py": "",
    "serving/models/beside.py": "import utils\n",
    "serving/models/Other/features.py": "from helpers import y\n",
    "serving/models/Other/helpers.py": "",
    "serving/models/Other/etls.py": "",
    "serving/models/Other/model.pkl": "",
    ".hidden/x.py": "",
    "env/pyvenv.cfg": "",
    "env/lib/installed.py": "",
}
ALL_OF_COMMON = {path for path in REPOSITORY if path.startswith("common/")}
COMMON = {"common/__init__.py", "common/table.csv", "common/data/more.csv"}
FEATURES = COMMON | {"common/features.py", "common/deep.py"}
BESIDE = {"serving/__init__.py", "serving/models/beside.py", "utils.py"}
EVERYTHING = (
    ALL_OF_COMMON
    | BESIDE
    | {"json.py", "größe.py", "paths.py", "src/build.py", "src/build.csv"}
)  # fmt: skip


def write(root: Path, files: Mapping[str, str | bytes]) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content.encode() if isinstance(content, str) else content)


def shared(root: Path, **own: str | bytes) -> set[str]:
    """The shared files of the model with these files in its folder; `__` in a name is its dot."""
    write(root, REPOSITORY)
    home = "serving/models/Model"
    write(root, {f"{home}/{name.replace('__', '.')}": content for name, content in own.items()})
    return set(SharedCode(FolderFiles(root), "serving/models").of("Model").digests)


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("import os, numpy", set()),
        ("import utils", {"utils.py"}),
        ("import numpy as np, utils as u", {"utils.py"}),
        ("from utils import (  # all of it (or so)\n    a,\n    b,\n)", {"utils.py"}),
        ("def later():\n    import utils", {"utils.py"}),
        ("try:\n    import utils\nexcept ImportError:\n    utils = None", {"utils.py"}),
        ("if True: import utils", {"utils.py"}),
        ("x = 1; from utils import a", {"utils.py"}),
        ("from \\\n    utils import a", {"utils.py"}),
        ("from common import \\\n    features", FEATURES),
        ("# import utils\nx = 'import utils'", set()),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from utils import a", set()),
        ("import json", set()),
        ("import modelsync", set()),
        ("import env.lib.installed", {"env/lib/installed.py"}),
        ("import common", COMMON),
        ("import common.features", FEATURES),
        ("from common import features, missing", FEATURES),
        ("from common.features import x", FEATURES),
        ("from common.plugins import *", COMMON | {
            "common/plugins/__init__.py", "common/plugins/one.py", "utils.py"}),
        ("import src.build", {"src/build.py", "src/build.csv"}),
        ("import beside", BESIDE - {"serving/__init__.py"}),
        ("from serving.models import beside", BESIDE),
        ("from ..beside import x", BESIDE - {"serving/__init__.py"}),
        ("from .. import beside", BESIDE - {"serving/__init__.py"}),
        ("from ..Other.features import f", {
            "serving/models/Other/features.py", "serving/models/Other/helpers.py"}),
        ("from Other.features import f", {
            "serving/models/Other/features.py", "serving/models/Other/helpers.py"}),
        ("from .......... import x", set()),
        ("from serving.models.Model.helpers import x", set()),
        ("from Model import helpers", set()),
        ("import sys\nsys.path.append('../../../src')\nimport build",
         {"src/build.py", "src/build.csv"}),
        ("from importlib import import_module\nimport_module('common.features')", FEATURES),
        ("import importlib\nimportlib.import_module(name='common.features')", FEATURES),
        ("import importlib\nimportlib.import_module('.features', 'common')", FEATURES),
        ("import importlib\nx = 1\nimportlib.import_module(f'common.plugins.{x}')", COMMON | {
            "common/plugins/__init__.py", "common/plugins/one.py", "utils.py"}),
        ("import importlib\nimportlib.import_module('common.' + x)", ALL_OF_COMMON | {"utils.py"}),
        ("import importlib\nimportlib.import_module('common.%s' % x)",
         ALL_OF_COMMON | {"utils.py"}),
        ("import importlib\nimportlib.import_module('xgboost')", set()),
        ("import importlib\nimportlib.import_module(x)", EVERYTHING),
        ("from importlib import import_module as load\nload('utils')", EVERYTHING),
        ("__import__(x)", EVERYTHING),
        ("exec(x)", EVERYTHING),
        ("exec(", EVERYTHING),
        ("import pkgutil, common\nfor x in pkgutil.iter_modules(common.__path__):\n    pass",
         EVERYTHING),
        ("import utils\nthis is no Python", {"utils.py"}),
        ("\ufeffimport utils", {"utils.py"}),
        ("import os\rimport utils", {"utils.py"}),
        ("import größe", {"größe.py"}),
        ("__import__('common', fromlist=['features'])", FEATURES),
        ("from importlib import resources\nresources.files('common')", COMMON),
        ("import pkgutil\npkgutil.get_data('common', 'table.csv')", COMMON),
        ("from pathlib import Path\nPath('x').read_text('utf8')", set()),
        ("from sys import path\npath.append('../../../src')\nimport build",
         {"src/build.py", "src/build.csv"}),
        ("import site\nsite.addsitedir('../../../src')\nimport build",
         {"src/build.py", "src/build.csv"}),
        ("import sys\nsys.path.append('../../../common/scripts')\nimport run",
         {"common/scripts/run.py", "common/scripts/run.csv"}),
        ("import paths, build", {"paths.py", "src/build.py", "src/build.csv"}),
        ("model.eval()\ncursor.execute('x')", set()),
    ],
)  # fmt: skip
def test_a_model_uses_what_it_imports(tmp_path: Path, code: str, used: set[str]) -> None:
    """At any place in its code, through others, by any path; no more than that."""
    assert shared(tmp_path, etls__py=code) == used


def test_only_what_the_model_loads_counts(tmp_path: Path) -> None:
    """A script beside it that it does not import is none of it; a helper that it imports is."""
    files = {"etls__py": "import helpers", "train__py": "import common", "helpers__py": "import x"}
    assert shared(tmp_path, **files) == set()
    assert shared(tmp_path, **files | {"helpers__py": "import utils"}) == {"utils.py"}


def test_the_own_folder_comes_first(tmp_path: Path) -> None:
    """Its own `utils.py`, also for the shared code that it uses."""
    assert shared(tmp_path, etls__py="import utils, beside", utils__py="") == BESIDE - {
        "serving/__init__.py",
        "utils.py",
    }


@pytest.fixture
def scaler(monkeypatch: pytest.MonkeyPatch) -> object:
    """An object of a class in `common.features`."""
    module = ModuleType("common.features")
    exec("class Scaler:\n    pass\n", vars(module))
    monkeypatch.setitem(sys.modules, "common", ModuleType("common"))
    monkeypatch.setitem(sys.modules, "common.features", module)
    found: object = module.Scaler()
    return found


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("compressed", ["", "zlib", "gzip", "bz2", "lzma"])
def test_a_pickle_uses_the_modules_of_its_classes(
    tmp_path: Path, scaler: object, protocol: int, compressed: str
) -> None:
    """Whatever its suffix, its protocol and its compression; a model that is an artefact too."""
    data = pickle.dumps([scaler, "a" * 3000], protocol)
    if compressed:
        data = importlib.import_module(compressed).compress(data)
    assert shared(tmp_path, model__pkl=data) == FEATURES
    assert shared(tmp_path, etls__py="", anything=data) == FEATURES


def test_a_pickle_in_a_package_uses_them_too(tmp_path: Path, scaler: object) -> None:
    """`common/scaler.pkl` of a class in `common/features.py`, whoever loads it."""
    write(tmp_path, {"common/scaler.pkl": pickle.dumps(scaler)})
    assert shared(tmp_path, etls__py="import common") == FEATURES | {"common/scaler.pkl"}


def test_a_folder_is_meant_where_a_file_cannot_be(tmp_path: Path) -> None:
    """`Model/Model.py` is a module of its own, and `Model.helpers` the folder's."""
    files = {"etls__py": "from Model.helpers import x", "Model__py": "import src.build"}
    assert shared(tmp_path, **files, helpers__py="import utils") == {"utils.py"}


def test_links_may_lead_round_in_circles(tmp_path: Path) -> None:
    """Nothing is listed for ever."""
    write(tmp_path, REPOSITORY)
    (tmp_path / "common" / "again").symlink_to(".")
    (tmp_path / "common" / "up").symlink_to("..")
    (tmp_path / "broken").symlink_to("broken")
    assert shared(tmp_path, etls__py="import x\n__import__(x)") == EVERYTHING
    assert shared(tmp_path, etls__py="import common.again.deep, broken") == COMMON | {
        "common/again/__init__.py", "common/again/deep.py", "common/again/table.csv",
        "common/again/data/more.csv",
    }  # fmt: skip


def test_what_cannot_be_decompressed_may_use_all(tmp_path: Path) -> None:
    """LZ4, as joblib may write it."""
    assert shared(tmp_path, model__joblib=b"\x04\x22\x4d\x18" + bytes(40)) == EVERYTHING


def test_links_are_what_they_lead_to(tmp_path: Path) -> None:
    """Within the repository; one that leads out of it is none of it."""
    write(tmp_path, {"elsewhere/secret.py": ""})
    root = tmp_path / "repository"
    write(root, REPOSITORY)
    (root / "serving" / "models" / "linked").symlink_to("../../common")
    (root / "alias.py").symlink_to("utils.py")
    (root / "secret.py").symlink_to(tmp_path / "elsewhere" / "secret.py")
    code = "import linked.deep, alias, secret"
    assert shared(root, etls__py=code) == {
        "alias.py", "serving/models/linked/__init__.py", "serving/models/linked/deep.py",
        "serving/models/linked/table.csv", "serving/models/linked/data/more.csv",
    }  # fmt: skip
