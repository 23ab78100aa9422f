"""The check process: loads models one after another, runs their examples, and reports each step on
a pipe of its own.

Started by `checking` as `python -m modelsync.models.check.child JOB EVENTS`: the path of the list
of folders, and the number of the descriptor that takes one JSON line per step. Standard output
belongs to the models. Whatever they do to this process (`os._exit`, a segmentation fault, no end),
the parent sees by what is missing on the pipe.
"""

from __future__ import annotations

import asyncio
import copy
import ctypes
import faulthandler
import math
import os
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import orjson

from modelsync.errors import ModelBroken, ModelRaised, VariablesInvalid
from modelsync.models import results
from modelsync.models.diagnosis import from_exception
from modelsync.models.discovery.source_analysis import BATCH
from modelsync.models.isolation import guards
from modelsync.models.loading import loader
from modelsync.models.types import CheckResult, Example, Fault, LoadedModel, ModelSpec

_PID = os.getpid()
TIMED_CALLS = 3
TIMED_SHARE = 0.2  # of a model's time limit: slow models are not called again only to be measured
TOLERANCE = 1e-9  # relative, of numbers in a response
# Many rows at once are summed up in another order than one, and many a model does so in 32 bits.
BATCH_TOLERANCE = 1e-4, 1e-6  # relative, absolute


def main(job: Path, events: int) -> None:
    """Try all models of a job; ends the process without waiting for threads that models may have
    left.
    """
    _die_with_parent()
    content = orjson.loads(job.read_bytes())
    timeout: float = content["timeout"]
    trace = Path(content["trace"]).open("w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    faulthandler.enable(trace)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is reported, not kept
    guards.install()
    for item in content["folders"]:
        folder = ModelSpec(**{**item, "path": Path(item["path"])})
        trace.seek(0)
        trace.truncate()
        _report(events, {"started": folder.name})
        # Tells the parent, which then ends this process, in which line the model hangs.
        faulthandler.dump_traceback_later(timeout, file=trace)
        result = try_model(folder, timeout)
        faulthandler.cancel_dump_traceback_later()
        _report(events, {"finished": result})
    os._exit(0)


def _report(events: int, step: dict[str, Any]) -> None:
    if os.getpid() != _PID:  # a model has forked, and its child has come back to us
        os._exit(0)
    os.write(events, orjson.dumps(step, option=orjson.OPT_APPEND_NEWLINE))


def _die_with_parent() -> None:
    """Have Linux kill this process with its parent: nobody else would ever end a model that hangs."""
    if sys.platform == "linux":
        death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


def try_model(folder: ModelSpec, timeout: float) -> CheckResult:
    """Load one model and run its examples, within this process."""
    start = time.perf_counter()
    try:
        model = loader.load(folder)
    except ModelBroken as error:
        return CheckResult(folder.name, folder.version, _fault(error))
    loaded = time.perf_counter() - start
    try:
        seconds = _run_examples(model, folder, timeout)
    except ModelBroken as error:
        return CheckResult(
            folder.name, folder.version, _fault(error), loaded, None, len(model.examples)
        )
    finally:
        loader.unload(model)
    return CheckResult(folder.name, folder.version, None, loaded, seconds, len(model.examples))


def _fault(error: ModelBroken) -> Fault:
    return cast(Fault, error.fault)


# --- examples -------------------------------------------------------------------------------------


def _run_examples(model: LoadedModel, folder: ModelSpec, timeout: float) -> float | None:
    """Run each example once, then some again to measure; the median of the seconds a call takes.

    The first call is a warm-up, and counts only where it takes so long that no other is made.
    Raises ModelBroken.
    """
    if not model.examples:
        return None
    with closing(asyncio.Runner()) as runner:  # without an event loop until one is needed

        def predict(variables: dict[str, Any]) -> Any:
            return (
                runner.run(_awaited(model.call(variables)))
                if model.is_async
                else model.call(variables)
            )

        runs = [_run(predict, example, folder) for example in model.examples]
        first, *rest = [seconds for seconds, _ in runs]
        spent = first + sum(rest)
        while len(rest) < TIMED_CALLS and spent + first < timeout * TIMED_SHARE:
            rest.append(_run(predict, model.examples[len(rest) % len(model.examples)], folder)[0])
            spent += rest[-1]
        if model.call_batch:
            _compare_batch(model, folder, [answer for _, answer in runs])
    return statistics.median(rest or [first])


def _compare_batch(model: LoadedModel, folder: ModelSpec, alone: list[Any]) -> None:
    """Answer all examples in one batch, the first one twice; each must be as it was `alone`.

    A model that answers the same request in two ways is not compared. Raises ModelBroken.
    """
    batch = [*model.examples, model.examples[0]]
    together = _answer_batch(model, batch, folder)
    for example, one, many in zip(batch, [*alone, alone[0]], together, strict=True):
        difference = _difference(one, many, "", BATCH_TOLERANCE)
        if difference and not _difference(
            one, _run(model.call, example, folder)[1], "", BATCH_TOLERANCE
        ):
            raise _failed(
                example,
                f"in a batch of {len(batch)} it is answered otherwise than alone: {difference}",
            )


def _answer_batch(model: LoadedModel, batch: list[Example], folder: ModelSpec) -> list[Any]:
    assert model.bind
    assert model.call_batch
    rows = []
    for example in batch:
        with _blaming(example, folder):
            rows.append(model.bind(copy.deepcopy(example.variables)))
    with _blaming(batch[0], folder):
        found = model.call_batch(rows)
        if len(found) != len(rows):
            raise ModelRaised(
                "ValueError", f"{BATCH} returned {len(found)} results for {len(rows)} rows"
            )
    answers = []
    for example, result in zip(batch, found, strict=True):
        with _blaming(example, folder):
            if isinstance(result, Exception):
                raise result
            answers.append(orjson.loads(results.dump(result)))
    return answers


async def _awaited(result: Any) -> Any:
    return await result


def _run(
    predict: Callable[[dict[str, Any]], Any], example: Example, folder: ModelSpec
) -> tuple[float, Any]:
    """Run an example and compare its response; the seconds the call took, and the answer. Raises
    ModelBroken.
    """
    variables = copy.deepcopy(example.variables)  # a model may change what it gets
    start = time.perf_counter()
    with _blaming(example, folder):
        result = predict(variables)
        seconds = time.perf_counter() - start
        got = orjson.loads(results.dump(result))
    if example.response is not None and (difference := _difference(example.response, got, "")):
        raise _failed(example, difference)
    return seconds, got


@contextmanager
def _blaming(example: Example, folder: ModelSpec) -> Iterator[None]:
    """Turn whatever the model raises into the fault of that example."""
    try:
        yield
    except VariablesInvalid as error:
        raise _failed(example, f"its variables do not fit: {error}") from None
    except ModelRaised as error:
        raise _failed(example, str(error)) from None
    except BaseException as error:  # noqa: BLE001 - model code runs here: SystemExit is a model's fault, not our end
        raise ModelBroken(
            _named(example, from_exception(error, folder.path.absolute(), "example"))
        ) from None
    finally:
        guards.restore_cwd()


def _failed(example: Example, message: str) -> ModelBroken:
    return ModelBroken(Fault("example", message, f"examples/{example.name}.json"))


def _named(example: Example, fault: Fault) -> Fault:
    """The same fault, with the example in which it came up."""
    message = f"example {example.name}: {fault.message}"
    return Fault("example", message, fault.file, fault.line, fault.hint)


def _difference(
    expected: Any, got: Any, path: str, tolerance: tuple[float, float] = (TOLERANCE, 0.0)
) -> str | None:
    """The first place where two JSON values differ, or None. Numbers may, by `tolerance`: relative,
    absolute.
    """
    where = path or "the response"
    if isinstance(expected, dict) and isinstance(got, dict):
        if missing := [key for key in expected if key not in got]:
            return f"{where} has no {_short(missing[0])}"
        if unexpected := [key for key in got if key not in expected]:
            return f"{where} has {_short(unexpected[0])}, which is not expected"
        places = [(f"{path}.{key}" if path else key, expected[key], got[key]) for key in expected]
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        places = [
            (f"{path}[{index}]", *pair)
            for index, pair in enumerate(zip(expected, got, strict=True))
        ]
    else:
        return (
            None
            if _same(expected, got, tolerance)
            else f"{where}: expected {_short(expected)}, got {_short(got)}"
        )
    return next(
        (
            found
            for place in places
            if (found := _difference(place[1], place[2], place[0], tolerance))
        ),
        None,
    )


def _same(expected: Any, got: Any, tolerance: tuple[float, float]) -> bool:
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, int | float) and isinstance(got, int | float):
        return math.isclose(expected, got, rel_tol=tolerance[0], abs_tol=tolerance[1])
    return bool(expected == got)


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
