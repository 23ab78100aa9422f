"""A job: the model's code fits in a process of its own, and what it made is loaded again."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import psutil
import pytest

from modelsync.models.versions import Column
from tests.fitting.running import DATA, Ran, fit, started, version_of, write_folder
from tests.waiting import until

FOREST = """
from sklearn.tree import DecisionTreeClassifier
class Tree:
    def fit(self, x, y, **params):
        return DecisionTreeClassifier(**params).fit(x, y)
"""


TEMPLATE = """
import os, sys, threading, ctypes, signal, time, multiprocessing, subprocess
class Model:
    def fit(self, x: list, y):
        {}
    def predict(self, x: list):
        return [1] * len(x)
"""


@pytest.fixture
def ran(tmp_path: Path) -> Callable[..., Ran]:
    """Writes a folder and runs a job with it."""

    def run(code: str, body: Any = DATA, kind: str = "fit", **further: Any) -> Ran:
        spec = write_folder(tmp_path / "models", "Model", code, **further.pop("files", {}))
        return fit(spec, tmp_path / "out", body, kind, **further)

    return run


Runs = Callable[..., Ran]


def test_two_lines_make_a_version(ran: Runs) -> None:
    made = ran(FOREST, params={"max_depth": 1}).made
    assert made.serializer == "joblib"
    assert made.rows == 4
    assert made.inputs is not None
    assert made.inputs.form == "frame"
    assert [one.name for one in made.inputs.columns] == ["a", "b"]
    assert made.inputs.target == Column("y", "int64")
    assert "scikit-learn" in made.libraries
    assert made.call_seconds is not None
    assert made.call_seconds > 0
    assert made.promote


def test_the_artefact_is_what_its_digest_says(ran: Runs) -> None:
    done = ran(FOREST, params={"max_depth": 1})
    data = (done.output / done.made.file).read_bytes()
    assert hashlib.sha256(data).hexdigest() == done.made.sha256
    assert len(data) == done.made.size
    tree = joblib.load(done.output / done.made.file)
    assert tree.max_depth == 1


def test_train_fetches_its_own_data(ran: Runs) -> None:
    code = """
class Model:
    def __init__(self, path):
        self.path = path
    def train(self):
        return {"mean": float(open(self.path + "data.txt").read())}, {"rows": 1}
    def predict(self, x: list):
        return [self.model["mean"]] * len(x)
"""
    made = ran(code, None, "train", files={"data.txt": "3.5"}).made
    assert made.metrics == {"rows": 1}


def test_metrics_and_a_refusal_are_kept(ran: Runs) -> None:
    code = (
        TEMPLATE.format("return 1, {'f1': 0.5}")
        + """
    def accept(self, new, old):
        return new["f1"] > old["f1"], "it is worse"
"""
    )
    made = ran(code, old_metrics={"f1": 0.9}).made
    assert made.metrics == {"f1": 0.5}
    assert not made.promote
    assert "it is worse" in made.verdict


def test_a_model_that_is_promoted_by_hand_says_so(ran: Runs) -> None:
    made = ran(TEMPLATE.format("return 1") + '    promote = "manual"\n').made
    assert not made.promote
    assert "manual" in made.verdict


def test_prints_and_warnings_are_in_the_log(ran: Runs) -> None:
    code = """
import warnings, logging
from sklearn.linear_model import LogisticRegression
class Model:
    def fit(self, x, y):
        print("epoch 1 of 1")
        logging.getLogger("mine").warning("from a logger")
        return LogisticRegression(max_iter=1).fit(x, y)
"""
    log = ran(code).log
    assert "epoch 1 of 1" in log
    assert "from a logger" in log
    assert "ConvergenceWarning" in log


def test_fit_may_yield_its_progress(ran: Runs) -> None:
    code = """
class Model:
    def fit(self, x, y):
        for epoch in range(4):
            yield epoch / 4, f"epoch {epoch}"
        return {"mean": sum(y) / len(y)}
    def predict(self, x: list):
        return [self.model["mean"]] * len(x)
"""
    done = ran(code)
    assert done.made.serializer
    assert done.lines[0].progress == 0
    assert done.lines[0].message == "epoch 0"


def test_update_goes_on_from_a_version(ran: Runs, tmp_path: Path) -> None:
    code = """
class Model:
    def fit(self, x: list, y):
        return {"n": len(x)}
    def update(self, x: list, y):
        self.model["n"] += len(x)
        return self.model
    def predict(self, x: list):
        return [self.model["n"]] * len(x)
"""
    spec = write_folder(tmp_path / "models", "Model", code)
    first = fit(spec, tmp_path / "one")
    second = fit(spec, tmp_path / "two", kind="update", base=version_of(first, spec))
    assert second.made.rows == 4
    assert second.made.sha256 != first.made.sha256
    third = fit(spec, tmp_path / "three", kind="update", base=version_of(second, spec))
    import cloudpickle

    assert cloudpickle.loads((third.output / third.made.file).read_bytes()) == {"n": 12}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"x": [[1], [2]], "y": [1]}, "y"),
        ({"x": [[1, 2], [3]], "y": [1, 2]}, "row"),
        ({"x": {"a": [1], "b": [1, 2]}, "y": [1]}, "x"),
        ({"y": [1]}, "x"),
        ({"x": [[1], [2]], "y": [1, None]}, "y"),
        ({"x": [], "y": []}, "x"),
    ],
)
def test_data_that_cannot_be_used_fails_as_data(ran: Runs, body: Any, says: str) -> None:
    error = ran(TEMPLATE.format("return 1"), body).error
    assert error.stage == "data"
    assert error.kind == "DataInvalid"
    assert says in error.message


# --- everything that a model's code may do --------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "stage", "kind", "says"),
    [
        ("raise ValueError('no such thing')", "fit", "ValueError", "no such thing"),
        ("sys.exit(3)", "fit", "SystemExit", "3"),
        ("raise KeyboardInterrupt", "fit", "KeyboardInterrupt", ""),
        ("os._exit(0)", "crash", "", "exit code 0"),
        ("os._exit(7)", "crash", "", "exit code 7"),
        ("ctypes.string_at(0)", "crash", "SIGSEGV", "while the model was fitted"),
        ("os.abort()", "crash", "SIGABRT", "while the model was fitted"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "crash", "SIGKILL", "perhaps memory"),
        ("pass", "fit", "", "must return the fitted model"),
        ("return threading.Lock()", "serialise", "", "lock"),
        ("return lambda: 1 / 0", None, "", ""),
        ("raise type('Odd', (Exception,), {'__str__': lambda s: 1 / 0})()", "fit", "Odd", ""),
    ],
)
def test_whatever_fit_does_becomes_one_error(
    ran: Runs, line: str, stage: str | None, kind: str, says: str
) -> None:
    done = ran(TEMPLATE.format(line))
    if stage is None:
        assert done.made.serializer == "cloudpickle"
        return
    error = done.error
    assert (error.stage, error.kind) == (stage, kind) or (not kind and error.stage == stage)
    assert says in error.message
    assert str(done.output.parent) not in error.message


def test_a_format_that_does_not_exist_is_told_before_anything_is_fitted(ran: Runs) -> None:
    """A fit may take hours."""
    code = "class Churn:\n    serializer = 'pickle'\n    def fit(self, x, y): 1 / 0\n"
    found = ran(code).error
    assert (found.stage, found.kind) == ("serialise", "")
    assert found.message.startswith("there is no serializer 'pickle'; there are auto, ")


def test_an_error_says_where_it_was(ran: Runs) -> None:
    done = ran(TEMPLATE.format("raise ValueError('no')"))
    assert (done.error.file, done.error.line) == ("etls.py", 5)
    assert 'File "etls.py", line 5, in fit' in done.log
    assert "ValueError: no" in done.log
    assert str(done.output.parent) not in done.log
    crash = ran(TEMPLATE.format("ctypes.string_at(0)")).error
    assert (crash.file, crash.line) == ("etls.py", 5)


def test_memory_over_the_limit_is_told(ran: Runs) -> None:
    done = ran(TEMPLATE.format("return bytearray(4 << 30)"), memory=1 << 30)
    assert done.error.stage == "memory"
    assert "MODELSYNC_JOB_MEMORY" in done.error.message


LEFT = """
        threading.Thread(target=time.sleep, args=(600,)).start()
        p = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
        p.start()
        subprocess.Popen(["sleep", "600"])
        os.chdir("/")
        os.environ.clear()
        sys.path.clear()
        sys.modules.pop("json")
        sys.setrecursionlimit(100)
        signal.setitimer(signal.ITIMER_REAL, 3)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        sys.stdout.close()
        sys.stderr.close()
        return 1
"""


@pytest.mark.parametrize(
    "line",
    [
        LEFT,
        "os.closerange(3, 1000); return 1",
        "os.fork() or (_ for _ in ()).throw(ValueError()); return 1",
        "if os.fork() == 0: sys.exit(0)\n        return 1",
        "if os.fork() == 0: raise ValueError\n        return 1",
    ],
)
def test_what_a_model_leaves_behind_hinders_nothing(ran: Runs, line: str) -> None:
    done = ran(TEMPLATE.format(line))
    assert done.made.sha256


@pytest.mark.parametrize(
    ("code", "stage", "says"),
    [
        ("import no_such_library\nclass Model:\n    def fit(self, x, y): pass", "load", "no_such"),
        (
            "class Model:\n    def __init__(self): raise OSError('away')\n"
            "    def fit(self, x, y): pass",
            "load",
            "away",
        ),
        (
            "class Model:\n    def fit(self, x: list, y): return 1\n"
            "    def predict(self, x: list): return [1] * len(x)\n"
            "    def start(self): raise OSError('no database')",
            "load",
            "no database",
        ),
    ],
)
def test_a_model_that_does_not_load_says_why(ran: Runs, code: str, stage: str, says: str) -> None:
    error = ran(code).error
    assert error.stage == stage
    assert says in error.message


# --- the artefact is tried ------------------------------------------------------------------------


def test_a_serializer_that_loses_something_is_noticed(ran: Runs) -> None:
    code = """
class Fitted:
    def __init__(self): self.offset = 5
    def __getstate__(self): return {}
    def __setstate__(self, state): self.offset = 0
    def predict(self, x: list): return [self.offset] * len(x)
class Model:
    def fit(self, x: list, y): return Fitted()
"""
    error = ran(code).error
    assert error.stage == "verify"
    assert "expected 5, got 0" in error.message


def test_what_fit_leaves_beside_the_object_is_noticed(ran: Runs) -> None:
    code = """
class Model:
    def __init__(self): self.offset = 0
    def fit(self, x, y):
        self.offset = 5
        return {"n": 1}
    def predict(self, x: list): return [self.offset] * len(x)
"""
    assert ran(code).error.stage == "verify"


def test_an_own_format_that_cannot_be_read_is_noticed(ran: Runs) -> None:
    code = """
class Model:
    def fit(self, x: list, y): return [1, 2]
    def dump(self, file): file.write(b"xx")
    def load(self, file): raise ValueError("what is this")
    def predict(self, x: list): return [1] * len(x)
"""
    error = ran(code).error
    assert error.stage == "verify"
    assert "what is this" in error.message


def test_random_answers_are_not_compared(ran: Runs) -> None:
    code = """
import random
class Model:
    def fit(self, x: list, y): return {"n": 1}
    def predict(self, x: list): return [random.random() for _ in range(len(x))]
"""
    assert ran(code).made.sha256


def test_examples_are_compared_too(ran: Runs) -> None:
    code = """
SECRET = []
class Model:
    def train(self):
        SECRET.append(1)
        return {"n": 1}
    def transform_predict(self, a: int = 1):
        return {"n": len(SECRET)}
"""
    files = {"examples__one_json": json.dumps({"variables": {"a": 1}})}
    error = ran(code, None, "train", files=files).error
    assert error.stage == "verify"
    assert "example one" in error.message


def test_classes_of_the_folder_are_loaded_again(ran: Runs) -> None:
    code = """
from .parts import Fitted
class Model:
    def fit(self, x, y): return Fitted(sum(y))
"""
    parts = """
class Fitted:
    def __init__(self, total): self.total = total
    def predict(self, x): return [self.total] * len(x)
"""
    assert ran(code, files={"parts_py": parts}).made.sha256


# --- its end --------------------------------------------------------------------------------------


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    spec = write_folder(tmp_path / "models", "Model", TEMPLATE.format("time.sleep(600)"))
    child = os.fork()
    if child == 0:
        try:
            with started(spec, tmp_path / "out") as run:
                (tmp_path / "pid").write_text(str(run.process.pid))
                run.process.wait()
        finally:
            os._exit(0)
    pid = int(until(lambda: (tmp_path / "pid").read_text()))
    until(lambda: (tmp_path / "out" / "stage").read_text() == "fit")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    until(lambda: not psutil.pid_exists(pid))


@pytest.mark.parametrize("stage", ["fit", "verify"])
def test_a_kill_leaves_no_result(tmp_path: Path, stage: str) -> None:
    code = f"""
import time, os
from pathlib import Path
def wait(stage):
    while Path({str(tmp_path / "out" / "stage")!r}).read_text() == stage: time.sleep(0.01)
class Model:
    def fit(self, x, y):
        if {stage!r} == "fit": wait("fit")
        return 1
    def start(self):
        if getattr(self, "model", None) and {stage!r} == "verify": wait("verify")
    def predict(self, x): return [1] * len(x)
"""
    spec = write_folder(tmp_path / "models", "Model", code)
    with started(spec, tmp_path / "out") as run:
        until(lambda: (tmp_path / "out" / "stage").read_text() == stage)
        run.process.kill()
        error = run.ended().error
    assert error.stage == "crash"
    assert error.kind == "SIGKILL"
