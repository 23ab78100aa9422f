"""Loading: imports, instances, and what a model may do to the process meanwhile."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from modelsync.errors import ModelBroken
from modelsync.models import surroundings
from modelsync.models.contract import Fault
from modelsync.models.importing import ROOT
from modelsync.models.loading import load
from modelsync.models.results import dump

HELPED = """
{imports}

class Churn:
    def transform_predict(self, variables):
        {lazy}
        return {{"who": {expression}}}
"""


def churn(init: str = "pass", top: str = "", predict: str = "return {}") -> str:
    return f"""
{top}

class Churn:
    def __init__(self, path):
        {init}

    def transform_predict(self, variables):
        {predict}
"""


def broken(serve, *args, **kwargs) -> Fault:
    with pytest.raises(ModelBroken) as caught:
        serve(*args, **kwargs)
    return caught.value.fault


# --- the instance -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "gets"),
    [
        ("def __init__(self): self.got = None", None),
        ("def __init__(self, path): self.got = path", "path"),
        ("def __init__(self, folder='x', other=1): self.got = folder", "path"),
        ("def __init__(self, *args): self.got = args[0]", "path"),
        ("def __init__(self, *, path): self.got = path", "path"),
        ("def __init__(self, **kwargs): self.got = kwargs or None", None),
        ("got = None", None),
    ],
)
def test_init_gets_the_folder_if_it_takes_an_argument(serve, root, init, gets):
    """The path is a string that ends in a slash."""
    loaded = serve(f"class Churn:\n    {init}\n    def transform_predict(self, v): return {{}}\n")
    assert loaded.instance.got == (f"{root}/Churn/" if gets else None)


def test_a_model_tells_of_itself(serve, find):
    """Name, version, documentation, examples and whether its calls may overlap."""
    loaded = serve(
        '"""The file."""\n'
        + churn(predict="self.x = 1").replace("class Churn:", 'class Churn:\n    """Who leaves."""'),
        {"examples/a.json": '{"variables": {"x": 1}}', "examples/b.json": '{"variables": {}, "response": {"y": 2}}'},
    )
    assert (loaded.name, loaded.version, loaded.doc) == ("Churn", find("Churn").version, "Who leaves.")
    assert [(example.name, example.response) for example in loaded.examples] == [("a", None), ("b", {"y": 2})]
    assert loaded.lock is not None


def test_loading_never_calls_the_model(serve, tmp_path):
    """Not even with its examples: what was used before a fork breaks after it."""
    mark = tmp_path / "called"
    serve(churn(predict=f"open({str(mark)!r}, 'w')"), {"examples/a.json": '{"variables": {}}'})
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message", "line"),
    [
        ("{", "malformed JSON", 1),
        ('{"variables":\n nope}', "malformed JSON", 2),
        ("[]", "holds no variables object", None),
        ('{"variables": 1}', "holds no variables object", None),
        ('{"variables": {}, "response": 1}', "its response is not an object", None),
        ('{"variables": {}, "respones": {}}', "unknown key 'respones'", None),
    ],
)
def test_a_bad_example_is_told_by_file(serve, content, message, line):
    """An example that is none breaks the model, named with file and line."""
    fault = broken(serve, churn(), {"examples/bad.json": content})
    assert (fault.stage, fault.file, fault.line) == ("example", "examples/bad.json", line)
    assert message in fault.message


# --- modules of the folder --------------------------------------------------------------------------------------------

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
def test_helper_modules_are_found(serve, statement, expression, result, lazy):
    """Absolute and relative imports work at the top of the file and inside a method that runs later."""
    if lazy and "*" in statement:
        pytest.skip("Python allows * at the top only")
    etls = HELPED.format(imports="" if lazy else statement, lazy=statement if lazy else "pass", expression=expression)
    assert serve(etls, FILES).call({}) == {"who": result}
    assert not {"helpers", "other", "pkg", "space", "etls"} & set(sys.modules)
    assert not any("models_serve" in place for place in sys.path)


def test_helpers_of_the_same_name_do_not_mix(serve):
    """Two folders may both hold helpers.py, also as lazily imported."""
    etls = HELPED.format(imports="import helpers", lazy="import late", expression="helpers.WHO + late.WHO")
    models = [serve(etls, {"helpers.py": f"WHO = '{x}'", "late.py": f"WHO = '{x}'"}, name=x) for x in ("A", "B")]
    assert [model.call({})["who"] for model in models] == ["AA", "BB"]


def test_a_helper_named_like_the_standard_library_is_the_models_alone(serve):
    """json.py is json for its model's code, and for nobody else's."""
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


def test_a_data_folder_does_not_hide_a_library(serve):
    """A folder without Python files is data, whatever its name."""
    loaded = serve(
        HELPED.format(imports="import orjson", lazy="pass", expression="orjson.dumps(1).decode()"),
        {"orjson/x.txt": "x"},
    )
    assert loaded.call({}) == {"who": "1"}


def test_libraries_see_no_helper(serve, tmp_path, monkeypatch):
    """A library that tries `import ujson` while a model loads does not get the model's file of that name."""
    (tmp_path / "trying_library.py").write_text(
        "try:\n    import fastthing\nexcept ImportError:\n    fastthing = None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    serve(churn(top="import trying_library, fastthing"), {"fastthing.py": "x = 1"})
    assert sys.modules.pop("trying_library").fastthing is None


def test_a_path_that_a_model_adds_is_taken_back(serve):
    """`sys.path.insert` works while the model loads; then the next model's modules are its own again."""
    etls = churn(
        top="import sys, os\nsys.path.insert(0, os.path.dirname(__file__) + '/lib')\nimport feature",
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
def test_pickles_find_the_classes_of_helper_modules(serve, tmp_path, load_):
    """A pickle knows `scalers.Scaler` by its plain name, and gets the class the model's code has."""
    (tmp_path / "scalers.py").write_text("class Scaler:\n    def __init__(self, by): self.by = by\n")
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


def test_a_pickle_of_main_gets_advice(serve):
    """The commonest broken pickle is told what to do."""
    pickled = b"c__main__\nScalerOfMain\n."
    fault = broken(serve, churn("pickle.load(open(path + 'm.pkl', 'rb'))", "import pickle"), {"m.pkl": pickled})
    assert "Can't get attribute 'ScalerOfMain'" in fault.message
    assert "move the class into a module of this folder" in fault.hint


SHAPES = """
from __future__ import annotations
import dataclasses

@dataclasses.dataclass(frozen=True)
class P:
    x: int = 0
"""


def test_dataclasses_and_type_hints_of_helpers_work(serve):
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


def test_no_byte_code_is_written_nor_read(serve, root):
    """A release is never modified, and byte code that was committed does not run instead of its source."""
    serve(HELPED.format(imports="import helpers", lazy="pass", expression="1"), {"helpers.py": "x = 1"})
    assert not list(root.rglob("*.pyc"))


def test_the_same_version_can_be_loaded_twice(write, find, serve):
    """Two copies have modules of their own."""
    one, two = serve(churn()), serve(churn())
    assert type(one.instance) is not type(two.instance)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("etls", "files", "message", "file", "line"),
    [
        ("raise ValueError('no')\n", {}, "ValueError: no", "etls.py", 1),
        ("import helpers\n", {"helpers.py": "\nx = 1 / 0\n"}, "ZeroDivisionError: division by zero", "helpers.py", 2),
        ("import helpers\n", {"helpers.py": "x = (\n"}, "SyntaxError: '(' was never closed", "helpers.py", 1),
        ("import json\njson.loads('{')\n", {}, "JSONDecodeError", "etls.py", 2),
        ("import sys\nsys.exit(3)\n", {}, "SystemExit: 3", "etls.py", 2),
        ("exit()\n", {}, "SystemExit", "etls.py", 1),
        ("raise KeyboardInterrupt\n", {}, "KeyboardInterrupt", "etls.py", 1),
        ("class Odd(BaseException): pass\nraise Odd('x')\n", {}, "Odd: x", "etls.py", 2),
        ("def f(): f()\nf()\n", {}, "RecursionError", "etls.py", 1),
        (
            "class E(Exception):\n    def __str__(self): raise ValueError\nraise E\n",
            {},
            "E: (its message",
            "etls.py",
            3,
        ),
        ("open('nothing.txt')\n", {}, "No such file or directory: 'nothing.txt'", "etls.py", 1),
    ],
)
def test_what_an_import_raises_is_a_fault_with_its_place(serve, etls, files, message, file, line):
    """Whatever model code raises at import, the innermost line of the folder is told, and the process lives."""
    fault = broken(serve, etls + churn(), files)
    assert message in fault.message
    assert (fault.stage, fault.file, fault.line) == ("load", file, line)
    assert not any(name.startswith(f"{ROOT}.") for name in sys.modules)


@pytest.mark.parametrize("statement", ["raise ValueError('no')", "raise SystemExit(4)", "raise KeyboardInterrupt"])
def test_what_init_raises_is_a_fault(serve, statement):
    """The constructor too."""
    fault = broken(serve, churn(statement))
    assert (fault.stage, fault.file, fault.line) == ("load", "etls.py", 6)


def test_a_fault_tells_no_path_of_the_service(serve, root):
    """Clients read it as the reason of a 503."""
    fault = broken(serve, churn("open(path + 'model.pkl')"))
    assert str(root) not in str(fault)
    assert "'model.pkl'" in fault.message
    fault = broken(serve, churn("open('/some/where/secret/model.pkl')"), name="Other")
    assert "/some" not in fault.message
    assert "model.pkl" in fault.message


@pytest.mark.parametrize(
    ("module", "hint"),
    [
        ("cv2", "add the line opencv-python to requirements.txt"),
        ("bs4.element", "add the line beautifulsoup4 to requirements.txt"),
        ("no_such_library", "add the line no_such_library to requirements.txt"),
        ("sklearn.no_such_module", "the installed scikit-learn has no sklearn.no_such_module"),
    ],
)
def test_a_missing_library_is_told_with_the_line_to_add(serve, module, hint):
    """The name to install is not always the name to import."""
    fault = broken(serve, churn(top=f"import {module}"))
    assert fault.message.startswith("ModuleNotFoundError: No module named")
    assert fault.hint.startswith(hint)


@pytest.mark.parametrize(
    "etls",
    [
        "class Churn(Base):\n    pass\n",
        "from base import Base\nclass Churn(Base):\n    pass\n",
        "class Churn:\n    transform_predict = 1\n",
    ],
)
def test_a_class_whose_method_is_missing_after_all(serve, etls):
    """What only the import can tell is told by the import."""
    fault = broken(serve, etls, {"base.py": "class Base: pass"})
    assert fault.stage == "load"


def test_a_folder_with_a_static_fault_is_not_imported(write, find):
    """Loading what cannot be loaded raises the same fault."""
    write("Churn", "def oops(:")
    with pytest.raises(ModelBroken, match="SyntaxError"):
        load(find("Churn"))


# --- the others -------------------------------------------------------------------------------------------------------


def test_files_are_found_relative_to_the_folder_while_loading(serve):
    """open('model.txt') works at load; afterwards the working directory is the service's again."""
    before = Path.cwd()
    loaded = serve(churn("self.x = open('model.txt').read()", predict="return {'x': self.x}"), {"model.txt": "here"})
    assert loaded.call({}) == {"x": "here"}
    assert Path.cwd() == before


@pytest.mark.parametrize("fails", ["", "raise ValueError"])
def test_nothing_that_is_shared_is_changed_by_a_model(serve, write, fails):
    """Working directory, path, streams, json, builtins, signals, warnings, logging: as before, also after a failure."""
    etls = churn(
        top=f"""
import builtins, json, logging, os, signal, socket, sys, threading, time, warnings
os.chdir('/')
sys.path.insert(0, '/nowhere'); sys.path = ['/']
sys.stdout.close(); sys.stderr = None
json.dumps = json.loads = None
builtins.len = lambda x: 42
os.getcwd = time.time = None
signal.signal(signal.SIGTERM, signal.SIG_IGN)
warnings.simplefilter('error')
logging.basicConfig(level=1, force=True); logging.disable(50)
logging.getLogger('modelsync.test').disabled = True
sys.setrecursionlimit(5000); sys.excepthook = None; socket.setdefaulttimeout(3)
{fails}
"""
    )
    logging.getLogger("modelsync.test")

    def shared():
        return (
            Path.cwd(), list(sys.path), sys.stdout, sys.stderr, json.dumps, json.loads, len, os.getcwd, time.time,
            signal.getsignal(signal.SIGTERM), list(warnings.filters), list(logging.root.handlers), logging.root.level,
            logging.root.manager.disable, logging.getLogger("modelsync.test").disabled, sys.getrecursionlimit(),
            sys.excepthook, socket.getdefaulttimeout(), os.fstat(1).st_ino,
        )  # fmt: skip

    before = shared()
    if fails:
        broken(serve, etls)
    else:
        serve(etls)
    assert shared() == before
    assert not sys.stdout.closed


def test_a_model_keeps_the_stream_it_took(serve, capsys):
    """A log handler that a model made of sys.stdout goes on working."""
    loaded = serve(churn("self.out = sys.stdout", "import sys", "self.out.write('hello'); return {}"))
    loaded.call({})
    assert capsys.readouterr().out == "hello"


def test_protected_streams_cannot_be_closed(monkeypatch):
    """A prediction that closes stdout closes nothing."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    surroundings.protect_streams()
    surroundings.protect_streams()
    with sys.stdout:
        sys.stdout.close()
    print("still here")  # noqa: T201
    assert stream.getvalue() == "still here\n"


def test_models_load_in_any_thread(write, find, serve):
    """Without preload they load where the worker wants."""
    write("Churn", churn())
    loaded = []
    thread = threading.Thread(target=lambda: loaded.append(serve(churn())))
    thread.start()
    thread.join()
    assert dump(loaded[0].call({})) == b"{}"


def test_descriptors_do_not_leak(serve, write, find):
    """Loading takes no descriptor that it does not give back."""
    serve(churn())
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        serve(churn(), name=f"M{number}")
        broken(serve, "raise ValueError\n" + churn(), name=f"N{number}")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert pickle.loads(pickle.dumps(1)) == 1
