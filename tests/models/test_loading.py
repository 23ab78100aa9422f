"""Loading: imports, instances, and the state of the process that a model may change."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

from modelsync.errors import ModelBroken
from modelsync.models.isolation import process_state
from modelsync.models.isolation.model_package import ROOT
from modelsync.models.loading.loader import load
from modelsync.models.results import dump
from tests.models.code import broken, churn
from tests.models.conftest import Find, Load, Write

# --- the instance ---------------------------------------------------------------------------------


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
def test_init_gets_the_folder_if_it_takes_an_argument(
    serve: Load, root: Path, init: str, gets: str | None
) -> None:
    """The path is a string that ends in a slash."""
    loaded = serve(f"class Churn:\n    {init}\n    def transform_predict(self, v): return {{}}\n")
    assert loaded.instance.got == (f"{root}/Churn/" if gets else None)


def test_a_model_tells_of_itself(serve: Any, find: Find) -> None:
    """A loaded model has name, version, documentation, examples and lock."""
    loaded = serve(
        '"""The file."""\n'
        + churn(predict="self.x = 1").replace(
            "class Churn:", 'class Churn:\n    """Who leaves."""'
        ),
        {
            "examples/a.json": '{"variables": {"x": 1}}',
            "examples/b.json": '{"variables": {}, "response": {"y": 2}}',
        },
    )
    assert (loaded.name, loaded.version, loaded.doc) == (
        "Churn",
        find("Churn").version,
        "Who leaves.",
    )
    assert [(example.name, example.response) for example in loaded.examples] == [
        ("a", None),
        ("b", {"y": 2}),
    ]
    assert loaded.lock is not None


def test_loading_never_calls_the_model(serve: Any, tmp_path: Path) -> None:
    """Its examples are not run either: libraries that were used do not survive the fork."""
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
def test_a_bad_example_is_told_by_file(serve: Any, content: Any, message: Any, line: Any) -> None:
    """A malformed example breaks the model, and is named with file and line."""
    fault = broken(serve, churn(), {"examples/bad.json": content})
    assert (fault.stage, fault.file, fault.line) == ("example", "examples/bad.json", line)
    assert message in fault.message


# --- faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("etls", "files", "message", "file", "line"),
    [
        ("raise ValueError('no')\n", {}, "ValueError: no", "etls.py", 1),
        (
            "import helpers\n",
            {"helpers.py": "\nx = 1 / 0\n"},
            "ZeroDivisionError: division by zero",
            "helpers.py",
            2,
        ),
        (
            "import helpers\n",
            {"helpers.py": "x = (\n"},
            "SyntaxError: '(' was never closed",
            "helpers.py",
            1,
        ),
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
def test_what_an_import_raises_is_a_fault_with_its_place(
    serve: Any, etls: Any, files: Any, message: Any, file: Any, line: Any
) -> None:
    """Whatever an import raises, the fault has the innermost line in the folder."""
    fault = broken(serve, etls + churn(), files)
    assert message in fault.message
    assert (fault.stage, fault.file, fault.line) == ("load", file, line)
    assert not any(name.startswith(f"{ROOT}.") for name in sys.modules)


@pytest.mark.parametrize(
    "statement", ["raise ValueError('no')", "raise SystemExit(4)", "raise KeyboardInterrupt"]
)
def test_what_init_raises_is_a_fault(serve: Any, statement: Any) -> None:
    """What the constructor raises is a fault with its place."""
    fault = broken(serve, churn(statement))
    assert (fault.stage, fault.file, fault.line) == ("load", "etls.py", 6)


def test_a_fault_tells_no_path_of_the_service(serve: Load, root: Path) -> None:
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
        ("cv2", "add the line opencv-python to requirements-models.txt"),
        ("bs4.element", "add the line beautifulsoup4 to requirements-models.txt"),
        (
            "prophet",
            "add the line prophet to requirements-models.txt beside run.sh, and run ./run.sh or "
            "build the image again; or list all that the model needs in a requirements.txt",
        ),
        (
            "no_such_library",
            "if no_such_library is a package from PyPI: add the line no_such_library to "
            "requirements-models.txt",
        ),
        ("no_such_library", "code of your own belongs into this folder"),
        ("sklearn.no_such_module", "the installed scikit-learn has no sklearn.no_such_module"),
    ],
)
def test_a_missing_library_is_told_with_the_line_to_add(serve: Any, module: Any, hint: Any) -> None:
    """The hint has the package's name, which may differ from the module's."""
    fault = broken(serve, churn(top=f"import {module}"))
    assert fault.message.startswith("ModuleNotFoundError: No module named")
    assert hint in str(fault.hint)


@pytest.mark.parametrize(
    "etls",
    [
        "class Churn(Base):\n    pass\n",
        "from collections import Counter\nclass Churn(Counter):\n    pass\n",
        "class Churn:\n    transform_predict = 1\n",
    ],
)
def test_a_class_whose_method_is_missing_after_all(serve: Any, etls: Any) -> None:
    """An inherited method that is missing is found by the import."""
    fault = broken(serve, etls, {"base.py": "class Base: pass"})
    assert fault.stage == "load"


def test_a_folder_with_a_static_fault_is_not_imported(write: Write, find: Find) -> None:
    """Loading what cannot be loaded raises the same fault."""
    write("Churn", "def oops(:")
    with pytest.raises(ModelBroken, match="SyntaxError"):
        load(find("Churn"))


# --- the others -----------------------------------------------------------------------------------


def test_files_are_found_relative_to_the_folder_while_loading(serve: Any) -> None:
    """open('model.txt') works at load; then the working directory is the old one."""
    before = Path.cwd()
    loaded = serve(
        churn("self.x = open('model.txt').read()", predict="return {'x': self.x}"),
        {"model.txt": "here"},
    )
    assert loaded.call({}) == {"x": "here"}
    assert Path.cwd() == before


@pytest.mark.parametrize("fails", ["", "raise ValueError"])
def test_nothing_that_is_shared_is_changed_by_a_model(serve: Any, write: Write, fails: Any) -> None:
    """Directory, path, streams, modules, signals, warnings and logging are restored."""
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

    def shared() -> tuple[object, ...]:
        return (
            Path.cwd(), list(sys.path), sys.stdout, sys.stderr, json.dumps, json.loads, len,
            os.getcwd, time.time,
            signal.getsignal(signal.SIGTERM), list(warnings.filters), list(logging.root.handlers),
            logging.root.level,
            logging.root.manager.disable, logging.getLogger("modelsync.test").disabled,
            sys.getrecursionlimit(),
            sys.excepthook, socket.getdefaulttimeout(), os.fstat(1).st_ino,
        )  # fmt: skip

    before = shared()
    if fails:
        broken(serve, etls)
    else:
        serve(etls)
    assert shared() == before
    assert not sys.stdout.closed


def test_a_model_keeps_the_stream_it_took(serve: Load, capsys: pytest.CaptureFixture[str]) -> None:
    """A log handler that a model made of sys.stdout goes on working."""
    loaded = serve(
        churn("self.out = sys.stdout", "import sys", "self.out.write('hello'); return {}")
    )
    loaded.call({})
    assert capsys.readouterr().out == "hello"


def test_protected_streams_cannot_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prediction that closes stdout closes nothing."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    process_state.protect_streams()
    process_state.protect_streams()
    with sys.stdout:
        sys.stdout.close()
    print("still here")  # noqa: T201
    assert stream.getvalue() == "still here\n"


def test_models_load_in_any_thread(write: Write, find: Find, serve: Any) -> None:
    """Without preload, models load in a thread of the worker."""
    write("Churn", churn())
    loaded = []
    thread = threading.Thread(target=lambda: loaded.append(serve(churn())))
    thread.start()
    thread.join()
    assert dump(loaded[0].call({})) == b"{}"


def test_descriptors_do_not_leak(serve: Any, write: Write, find: Find) -> None:
    """Loading closes every descriptor that it opens."""
    serve(churn())
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(5):
        serve(churn(), name=f"M{number}")
        broken(serve, "raise ValueError\n" + churn(), name=f"N{number}")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
