"""`start` and `stop` of a model, and the context in which it loads."""

from __future__ import annotations

import decimal
import logging
import threading

import numpy as np
import pytest

from modelsync.errors import ModelBroken
from modelsync.models.loading import lifecycle
from tests.models.code import fault_of
from tests.models.conftest import Load

CALL = "\n    def transform_predict(self, v):\n        return {}\n"


def test_start_and_stop_are_called_once_each(serve: Load) -> None:
    """Also if they are `async def`."""
    for word in ("def", "async def"):
        loaded = serve(
            f"class Churn:\n    done = ''\n    {word} start(self): self.done += 'start '\n"
            f"    {word} stop(self): self.done += 'stop'\n{CALL}"
        )
        lifecycle.start(loaded)
        lifecycle.stop(loaded)
        assert loaded.instance.done == "start stop"


@pytest.mark.parametrize(
    "body",
    [
        "start = 0.5",
        "def start(self, date): raise RuntimeError",
        "start = property(lambda self: print)",
        "def __init__(self): self.start = self.stop = print",
        "def __getattr__(self, name): return {'start': print}[name] if name == 'start' else None",
    ],
)
def test_other_things_of_these_names_are_the_models_own(serve: Load, body: str) -> None:
    """Only a method that needs no argument is called."""
    loaded = serve(f"class Churn:\n    {body}\n{CALL}")
    assert loaded.start is None


def test_a_start_that_fails_is_a_fault_with_its_line(serve: Load) -> None:
    """SystemExit too."""
    for raised, message in (
        ("OSError('no database')", "OSError: no database"),
        ("SystemExit(3)", "SystemExit: 3"),
    ):
        loaded = serve(f"class Churn:\n    def start(self):\n        raise {raised}\n{CALL}")
        with pytest.raises(ModelBroken) as caught:
            lifecycle.start(loaded)
        fault = fault_of(caught.value)
        assert (fault.message, fault.file, fault.line) == (f"start: {message}", "etls.py", 3)


def test_a_stop_that_fails_is_logged(serve: Load, caplog: pytest.LogCaptureFixture) -> None:
    """It never passes."""
    loaded = serve(f"class Churn:\n    def stop(self):\n        raise SystemExit(3)\n{CALL}")
    with caplog.at_level(logging.ERROR):
        lifecycle.stop(loaded)
    assert "Churn: stop: etls.py:3: SystemExit: 3" in caplog.text


@pytest.mark.parametrize("place", ["top", "init", "start"])
def test_decimal_and_numpy_keep_what_a_model_sets(serve: Load, place: str) -> None:
    """It holds in the model's calls, in every thread, and nowhere else."""
    settings = "decimal.getcontext().prec = 5; np.seterr(all='raise')"
    code = {name: settings if name == place else "pass" for name in ("top", "init", "start")}
    loaded = serve(
        f"import decimal\nimport numpy as np\n{code['top']}\nclass Churn:\n"
        f"    def __init__(self): {code['init']}\n"
        f"    def start(self): {code['start']}\n"
        "    def transform_predict(self, v):\n"
        "        return [str(decimal.Decimal(1) / 3), np.geterr()['divide']]\n"
    )
    lifecycle.start(loaded)
    got = []
    thread = threading.Thread(target=lambda: got.append(loaded.context.copy().run(loaded.call, {})))
    thread.start()
    thread.join()
    assert got == [["0.33333", "raise"]]
    assert loaded.context.run(loaded.call, {}) == got[0]
    assert decimal.getcontext().prec == 28
    assert np.geterr()["divide"] == "warn"
