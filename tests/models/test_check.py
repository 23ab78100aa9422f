"""The check process: whatever a model does in it, the other models are still checked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelsync.models.check.checker import check
from modelsync.models.discovery.folders import discover
from modelsync.models.types import CheckResult
from tests.models.code import fault_of
from tests.models.conftest import Write
from tests.waiting import patient, told, until

GOOD = """
class M:
    def transform_predict(self, variables):
        return {"twice": variables.get("x", 0) * 2}
"""
CHILD = "modelsync.models.check.child"
EXAMPLE = '{"variables": {"x": 2}, "response": {"twice": 4}}'


def model(body: str = "return {}", top: str = "", init: str = "pass", kind: str = "def") -> str:
    return f"""{top}
class M:
    def __init__(self):
        {init}
    {kind} transform_predict(self, variables):
        {body}
"""


def results(root: Path, timeout: float = 30.0, **environ: str) -> dict[str, CheckResult]:
    found = check(discover(root), timeout=timeout, environ={**os.environ, **environ})
    return {result.name: result for result in found}


def test_good_models_are_measured(root: Path, write: Write) -> None:
    """A model that passes says how long it takes to load and to answer."""
    write("Asks", GOOD, {"examples/a.json": EXAMPLE, "examples/b.json": '{"variables": {}}'})
    write("Bare", GOOD)
    found = results(root)
    asks, bare = found["Asks"], found["Bare"]
    assert (asks.ok, asks.measured.examples, bare.ok, bare.measured.examples) == (True, 2, True, 0)
    calls, loads = asks.measured.call_seconds, asks.measured.load_seconds
    assert calls is not None
    assert loads is not None
    assert 0 < calls < loads + 1
    assert bare.measured.call_seconds is None
    assert asks.version == discover(root)[0].version


def test_the_schema_of_answers_is_found(root: Path, write: Write) -> None:
    """The check reads the return annotation; one that fails, or hangs nothing, tells nothing."""
    typed = "from dataclasses import dataclass\n@dataclass\nclass Price:\n    price: float\n"
    method = "class Model:\n    def transform_predict(self, x: int = 1) -> {}:\n        return {}\n"
    write("Typed", typed + method.format("Price", "Price(x / 2)"))
    write("Untyped", method.format("dict", "{}"))
    write("Unknown", "from __future__ import annotations\n" + method.format("No", "{}"))
    found = results(root)
    assert all(one.ok and not one.warnings for one in found.values()), found
    schema = found["Typed"].response
    assert schema
    assert (schema["properties"]["price"]["type"], schema["required"]) == ("number", ["price"])
    assert found["Untyped"].response is found["Unknown"].response is None


def test_verdicts_come_in_order_and_as_they_are_known(root: Path, write: Write) -> None:
    """There is one result for each folder, in order; each is reported as soon as it is known."""
    write("B", GOOD)
    write("A", model(top="raise ValueError('no')"))
    write("C", "def oops(:")
    seen: list[CheckResult] = []
    found = check(discover(root), timeout=patient(30), environ=os.environ, on_progress=seen.append)
    assert [result.name for result in found] == ["A", "B", "C"]
    assert [result.ok for result in found] == [False, True, False]
    assert sorted(result.name for result in seen) == ["A", "B", "C"]
    assert (fault_of(found[0]).stage, fault_of(found[0]).file, fault_of(found[0]).line) == (
        "load",
        "etls.py",
        1,
    )
    assert check([], timeout=patient(30), environ=os.environ) == []


def test_models_that_end_the_process_do_not_end_the_check(root: Path, write: Write) -> None:
    """os._exit, a crash, a kill or a stack overflow breaks one model; the others are checked."""
    segfault = "import ctypes; ctypes.string_at(0)"
    write("A0", GOOD)
    write("A1", model(top="import os; os._exit(3)"))
    write("A2", model(init=segfault))
    write("A3", GOOD)
    write(
        "A4",
        model("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
        {"examples/a.json": EXAMPLE},
    )
    write("A5", model(top="import os; os.closerange(0, 100); os._exit(0)"))
    write("A6", GOOD, {"examples/a.json": EXAMPLE})
    write("A7", model(top="import sys; sys.exit(4)"))
    found = results(root)
    assert [name for name, result in found.items() if result.ok] == ["A0", "A3", "A6"]
    assert {fault_of(found[name]).stage for name in ("A1", "A2", "A4", "A5")} == {"crash"}
    assert "exit code 3" in fault_of(found["A1"]).message
    assert "signal 11 (SIGSEGV)" in fault_of(found["A2"]).message
    assert (fault_of(found["A2"]).file, fault_of(found["A2"]).line) == ("etls.py", 4)
    assert "SIGKILL" in fault_of(found["A4"]).message
    assert fault_of(found["A7"]).stage == "load"


@pytest.mark.parametrize("line", ["no JSON", '{"done": true, "moved": {}}', "[1]"])
def test_models_that_write_to_each_descriptor_are_broken(
    root: Path, write: Write, line: str
) -> None:
    """Also in the words of the check itself; the others are checked."""
    newline = b"\n"
    body = f"""for number in range(3, 64):
            try:
                os.write(number, {line.encode() + newline!r})
            except OSError:
                pass
        return {{}}"""
    write("Writes", model(body, top="import os"), {"examples/a.json": '{"variables": {}}'})
    for name in ("Good", "ZGood"):
        write(name, GOOD, {"examples/a.json": EXAMPLE})
    found = results(root)
    assert [name for name, result in found.items() if not result.ok] == ["Writes"]
    assert fault_of(found["Writes"]).stage == "crash"


def test_long_answers_take_no_time(root: Path, write: Write) -> None:
    """An image of 16 MB, say; each of its bytes is read once."""
    body = "return {'image': 'x' * 16_000_000}"
    write("Long", model(body), {"examples/a.json": '{"variables": {}}'})
    started = time.monotonic()
    assert results(root)["Long"].placement.place == "worker"
    assert time.monotonic() - started < patient(10)


def test_the_last_words_of_a_crash_are_told(root: Path, write: Write) -> None:
    """The hint quotes what a library printed before it aborted."""
    write("Churn", model(init="import os; print('out of', 'luck', flush=True); os.abort()"))
    assert "out of luck" in str(fault_of(results(root)["Churn"]).hint)


def test_models_without_end_are_told_where_they_hang(root: Path, write: Write) -> None:
    """An endless import, __init__ or example is a timeout with its line; the next is checked."""
    write("A", model(top="while True:\n    pass"))
    write("B", model("import time; time.sleep(600)"), {"examples/a.json": EXAMPLE})
    write("C", GOOD)
    write(
        "D",
        model("import asyncio; await asyncio.sleep(600)", kind="async def"),
        {"examples/a.json": EXAMPLE},
    )
    found = results(root, timeout=patient(1))
    assert [fault_of(found[name]).stage for name in "ABD"] == ["timeout"] * 3
    assert f"within {told(1)}" in fault_of(found["A"]).message
    assert (fault_of(found["A"]).file, fault_of(found["A"]).line in (1, 2)) == ("etls.py", True)
    assert fault_of(found["B"]).line == 6
    assert found["C"].ok


def test_processes_that_models_start_end_with_the_check(
    root: Path, write: Write, tmp_path: Path
) -> None:
    """Neither a background child nor a thread of a model holds the check up or outlives it."""
    started, forked = tmp_path / "started", tmp_path / "forked"
    write(
        "Churn",
        model(
            init=f"p = subprocess.Popen(['sleep', '600']); {writes('p.pid', started)}",
            top="import subprocess, threading, time\n"
            "threading.Thread(target=time.sleep, args=(600,)).start()",
        ),
    )
    forks = f"import os, time\nif pid := os.fork():\n    {writes('pid', forked)}\nelse:\n    "
    write("Forks", model(top=f"{forks}time.sleep(600)"))
    write("Returns", model(top="import os; os.fork()"))
    write("Last", model(top="import os\nos._exit(1)"))
    found = results(root)
    assert {name: result.ok for name, result in found.items()} == {
        "Churn": True,
        "Forks": True,
        "Last": False,
        "Returns": True,
    }
    for file in (started, forked):
        pid = int(file.read_text())
        until(partial(has_ended, pid))


def writes(expression: str, file: Path) -> str:
    """A statement that writes a number into a file."""
    return f"open({str(file)!r}, 'w').write(str({expression}))"


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or waits for its parent to notice."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_model_that_prints_without_end_is_bounded(root: Path, write: Write) -> None:
    """Output is read and thrown away; stdout closed or replaced does not matter."""
    write("A", model(init="import os\n        for _ in range(500): os.write(1, b'x' * 65536)"))
    write("B", model(init="import os, sys; sys.stdout.close(); os.close(1); os.close(2)"))
    write("C", GOOD, {"examples/a.json": EXAMPLE})
    assert [result.ok for result in results(root).values()] == [True, True, True]


@pytest.mark.parametrize(
    ("etls", "example", "message"),
    [
        (GOOD, '{"variables": {"x": 2}, "response": {"twice": 5}}', "twice: expected 5, got 4"),
        (GOOD, '{"variables": {"x": 2}, "response": {"thrice": 4}}',
         'the response has no "thrice"'),
        (GOOD, '{"variables": {"x": 2}, "response": {}}',
         'the response has "twice", which is not expected'),
        (GOOD, '{"variables": {"x": "a"}, "response": {"twice": 4}}',
         'twice: expected 4, got "aa"'),
        (
            model("return {'a': [1, {'b': True}]}"),
            '{"variables": {}, "response": {"a": [1, {"b": 1}]}}',
            "a[1].b: expected 1, got true",
        ),
        (model("return {'a': [1]}"), '{"variables": {}, "response": {"a": [1, 2]}}',
         "a: expected [1,2], got [1]"),
        (model("return {'a': 'x' * 999}"), '{"variables": {}, "response": {"a": 1}}', "…"),
        (model("return None"), '{"variables": {}}', "returned None, not a dict"),
        (model("return {'a': object()}"), '{"variables": {}}', "a is a object"),
        (model("raise KeyError('x')"), '{"variables": {}}', "KeyError: 'x'"),
        (model("raise SystemExit(3)"), '{"variables": {}}', "SystemExit: 3"),
        (model("import sys; sys.exit(4)", kind="async def"), '{"variables": {}}', "SystemExit: 4"),
        (GOOD.replace("variables)", "variables: int)"), '{"variables": {}}',
         "do not fit: variables: Field"),
        (GOOD, "nonsense", "malformed JSON"),
        (model("open('data.txt')"), '{"variables": {}}', "No such file"),
    ],
)  # fmt: skip
def test_an_example_that_fails_breaks_the_model(
    root: Path, write: Write, etls: Any, example: Any, message: Any
) -> None:
    """The fault tells the expected and the actual answer, or the error."""
    write("Churn", etls, {"examples/happy.json": example, "data.txt": "x"})
    fault = fault_of(results(root)["Churn"])
    assert fault.stage == "example"
    assert message in fault.message
    assert "happy" in f"{fault.file} {fault.message}"
    if "open" in etls:
        assert "the working directory is another" in str(fault.hint)


@pytest.mark.parametrize(
    ("etls", "response"),
    [
        (
            model("return {'a': 0.1 + 0.2, 'b': 1.0, 'c': float('nan')}"),
            '{"a": 0.3, "b": 1, "c": null}',
        ),
        (model("variables['x'] = 9; return {'a': 1}"), '{"a": 1}'),
        (model("return {'a': 1}", kind="async def"), '{"a": 1}'),
    ],
)
def test_an_example_that_holds(root: Path, write: Write, etls: str, response: str) -> None:
    """Rounding, NaN as null, a changed input and `async def` are no differences."""
    write("Churn", etls, {"examples/happy.json": f'{{"variables": {{}}, "response": {response}}}'})
    result = results(root)["Churn"]
    assert result.fault is None
    assert result.measured.call_seconds is not None
    assert result.measured.call_seconds > 0


def test_the_environment_is_the_one_given(
    root: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models see the given environment, and no secret of the service."""
    seen = (
        "import os; return {'seen': [os.environ.get('MODEL_KEY'), os.environ.get('gitpassword')]}"
    )
    write(
        "Churn",
        model(seen),
        {"examples/a.json": '{"variables": {}, "response": {"seen": ["k", null]}}'},
    )
    monkeypatch.setenv("gitpassword", "secret")
    [result] = check(
        discover(root), timeout=patient(30), environ={"PATH": os.environ["PATH"], "MODEL_KEY": "k"}
    )
    assert result.fault is None


def test_an_interrupted_check_leaves_no_process(root: Path, write: Write) -> None:
    """Ctrl-C in the parent ends the child and its group."""
    write("A", GOOD)
    write("B", model(top="while True: pass"))

    handler = signal.getsignal(signal.SIGINT)
    running: list[psutil.Process] = []

    def interrupt(result: CheckResult) -> None:
        children = psutil.Process().children(recursive=True)
        running.extend(one for one in children if CHILD in one.cmdline())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(discover(root), timeout=patient(60), environ=os.environ, on_progress=interrupt)
    assert running  # it ran, and is seen here while it runs
    until(lambda: not any(one.is_running() for one in running))
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_waits_for_no_model(root: Path, write: Write, tmp_path: Path) -> None:
    """Ctrl-C ends the command, although a model would go on loading for a minute."""
    began = tmp_path / "began"
    write("B", model(top=f"open({str(began)!r}, 'w').close()\nwhile True: pass"))
    command = [sys.executable, "-m", "modelsync", "check", str(root)]
    environ = {**os.environ, "MODELSYNC_CHECK_TIMEOUT": f"{patient(60)}s"}

    def as_from_a_terminal() -> None:  # what a shell runs in the background ignores it
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        command, env=environ, stderr=subprocess.DEVNULL, preexec_fn=as_from_a_terminal
    ) as process:
        until(began.exists)
        process.send_signal(signal.SIGINT)
        assert process.wait(patient(10)) == 130


def test_a_pickle_of_a_notebook_is_told_as_such(root: Path, write: Write) -> None:
    """The message shows `__main__`, not the program of the check."""
    write("M", model(top="import pickle", init="pickle.loads(b'c__main__\\nMine\\n.')"))
    write("Ready", files={"model.pkl": b"c__main__\nMine\n."})
    write("Recent", files={"model.joblib": b"\x80\x04\x8c\x08__main__\x8c\x04Mine\x93."})
    found = results(root)
    for result in found.values():
        assert str(fault_of(result).hint).startswith(
            "it was pickled from a notebook or script (__main__)"
        )
    for name in ("M", "Recent"):
        assert (
            fault_of(found[name]).message
            == "AttributeError: Can't get attribute 'Mine' on <module '__main__'>"
        )


def test_what_lies_beside_the_folder_is_no_missing_library(root: Path, write: Write) -> None:
    """No hint tells people to install a package that is named like their own code."""
    for name, top in (
        ("A", "import common.features"),
        ("B", "from shared import x"),
        ("C", "import data"),
    ):
        write(name, model(top=top), {"examples/a.json": EXAMPLE})
    found = check(
        discover(root),
        timeout=patient(30),
        environ=os.environ,
        beside={"common/", "shared.py", "data.csv"},
    )
    hints = [str(fault_of(result).hint) for result in found]
    assert [hint.partition(" of this repository")[0] for hint in hints[:2]] == [
        "common/ is a folder",
        "shared.py is a file",
    ]
    assert not any("add the line" in hint for hint in hints[:2])
    assert hints[2].startswith("if data is a package from PyPI")
