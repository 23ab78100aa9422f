"""Loads one model in this process, runs its examples and measures both."""

from __future__ import annotations

import asyncio
import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any, cast

import orjson

from modelsync.errors import ModelBroken, ModelRaised, VariablesInvalid
from modelsync.models import convention, results
from modelsync.models.check import comparison
from modelsync.models.check.comparison import find_difference
from modelsync.models.diagnosis import from_exception
from modelsync.models.isolation import guards
from modelsync.models.loading import loader
from modelsync.models.types import (
    CheckResult,
    Example,
    Fault,
    LoadedModel,
    Measurements,
    ModelSpec,
)

TIMED_CALLS = 3
"""Calls that are measured, beside the first one."""

TIMED_SHARE = 0.2
"""Share of a model's time limit for its calls: a slow model is not called again to be measured."""


def check_model(spec: ModelSpec, timeout: float) -> CheckResult:
    """Load one model and run its examples. `timeout`: seconds for both; the caller enforces it."""
    start = time.perf_counter()
    try:
        model = loader.load(spec)
    except ModelBroken as error:
        return CheckResult(spec.name, spec.version, cast(Fault, error.fault))
    loaded = time.perf_counter() - start
    measured = Measurements(load_seconds=loaded, examples=len(model.examples))
    try:
        measured = replace(measured, call_seconds=_run_examples(model, spec, timeout))
    except ModelBroken as error:
        return CheckResult(spec.name, spec.version, cast(Fault, error.fault), measured)
    finally:
        loader.unload(model)
    return CheckResult(spec.name, spec.version, None, measured)


def _run_examples(model: LoadedModel, spec: ModelSpec, timeout: float) -> float | None:
    """Run each example once, then some again; return the median of the seconds that a call takes.

    The first call is a warm-up: it counts only if it takes so long that no other is measured.
    None if the model has no example. Raises ModelBroken.
    """
    if not model.examples:
        return None
    with closing(asyncio.Runner()) as runner:  # it makes no event loop before it needs one

        def predict(variables: dict[str, Any]) -> Any:
            result = model.call(variables)
            return runner.run(_awaited(result)) if model.is_async else result

        runs = [_run(predict, example, spec) for example in model.examples]
        first, *rest = [seconds for seconds, _ in runs]
        spent = first + sum(rest)
        while len(rest) < TIMED_CALLS and spent + first < timeout * TIMED_SHARE:
            rest.append(_run(predict, model.examples[len(rest) % len(model.examples)], spec)[0])
            spent += rest[-1]
        if model.call_batch:
            _compare_batch(model, spec, [answer for _, answer in runs])
    return statistics.median(rest or [first])


async def _awaited(result: Any) -> Any:
    return await result


def _run(
    predict: Callable[[dict[str, Any]], Any], example: Example, spec: ModelSpec
) -> tuple[float, Any]:
    """Run an example and compare its response; return the seconds of the call and the answer.

    Raises ModelBroken.
    """
    variables = copy.deepcopy(example.variables)  # a model may change them
    start = time.perf_counter()
    with _blaming(example, spec):
        result = predict(variables)
        seconds = time.perf_counter() - start
        got = orjson.loads(results.dump(result))
    if example.response is not None and (difference := find_difference(example.response, got)):
        raise _failed(example, difference)
    return seconds, got


# --- batches --------------------------------------------------------------------------------------


def _compare_batch(model: LoadedModel, spec: ModelSpec, alone: list[Any]) -> None:
    """Answer all examples in one batch, the first one twice; compare with the answers `alone`.

    A model that answers the same request in two ways is not compared. Raises ModelBroken.
    """
    batch = [*model.examples, model.examples[0]]
    together = _answer_batch(model, batch, spec)
    for example, one, many in zip(batch, [*alone, alone[0]], together, strict=True):
        difference = find_difference(one, many, comparison.BATCH)
        if difference is None:
            continue
        again = _run(model.call, example, spec)[1]
        if find_difference(one, again, comparison.BATCH) is None:
            message = f"in a batch of {len(batch)} it gets another answer than alone"
            raise _failed(example, f"{message}: {difference}")


def _answer_batch(model: LoadedModel, batch: list[Example], spec: ModelSpec) -> list[Any]:
    """Return the answers of a model to all examples in one call. Raises ModelBroken."""
    assert model.bind
    assert model.call_batch
    rows = []
    for example in batch:
        with _blaming(example, spec):
            rows.append(model.bind(copy.deepcopy(example.variables)))
    with _blaming(batch[0], spec):
        found = model.call_batch(rows)
        if len(found) != len(rows):
            message = f"{convention.BATCH} returned {len(found)} results for {len(rows)} rows"
            raise ModelRaised("ValueError", message)
    answers = []
    for example, result in zip(batch, found, strict=True):
        with _blaming(example, spec):
            if isinstance(result, Exception):
                raise result
            answers.append(orjson.loads(results.dump(result)))
    return answers


# --- faults ---------------------------------------------------------------------------------------


@contextmanager
def _blaming(example: Example, spec: ModelSpec) -> Iterator[None]:
    """Turn any exception of the model into the fault of that example."""
    try:
        yield
    except VariablesInvalid as error:
        raise _failed(example, f"its variables do not fit: {error}") from None
    except ModelRaised as error:
        raise _failed(example, str(error)) from None
    except BaseException as error:  # noqa: BLE001 - model code: SystemExit is the model's fault
        fault = from_exception(error, spec.path.absolute(), "example")
        message = f"example {example.name}: {fault.message}"
        raise ModelBroken(replace(fault, message=message)) from None
    finally:
        guards.restore_cwd()


def _failed(example: Example, message: str) -> ModelBroken:
    return ModelBroken(Fault("example", message, f"{convention.EXAMPLES}/{example.name}.json"))
