"""Runs the examples of a loaded model as a script would: in the main thread, without a loop."""

from __future__ import annotations

import asyncio
import copy
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from modelsync.errors import ModelBroken, ModelRaised, NotFitted, VariablesInvalid
from modelsync.models import convention, examples, rejection, results
from modelsync.models.check import comparison
from modelsync.models.check.comparison import find_difference
from modelsync.models.diagnosis import from_exception
from modelsync.models.isolation import guards
from modelsync.models.loading import lifecycle
from modelsync.models.types import Example, Fault, LoadedModel, ModelSpec

TIMED_CALLS = 3
"""Calls that are measured, beside the first one."""

TIMED_SHARE = 0.2
"""Share of a model's time limit for its calls: a slow model is not called again to be measured."""

INVALID = 422
"""The status of variables that do not fit the signature."""


@dataclass(slots=True)
class Baseline:
    """What a model answered.

    `seconds`: the median of its calls; None without an example. `first_seconds`: of the first call.
    `answers`: one for each example. `is_steady`: the same example got the same answer twice; None
    if none was called twice. `unfitted`: it has nothing fitted that its examples need, so none was
    answered.
    """

    seconds: float | None = None
    first_seconds: float = 0.0
    answers: list[Any] = None  # type: ignore[assignment]
    is_steady: bool | None = None
    unfitted: bool = False

    def __post_init__(self) -> None:
        self.answers = self.answers or []


def run(model: LoadedModel, spec: ModelSpec, timeout: float) -> Baseline:
    """Call the model's `start`, run each example once, then some again. Raises ModelBroken.

    The first call is a warm-up: it counts only if it takes so long that no other is measured.
    """
    with closing(asyncio.Runner()) as runner:  # it makes no event loop before it needs one

        def wait(result: Awaitable[Any]) -> Any:
            return runner.run(_awaited(result), context=model.context)

        def predict(variables: dict[str, Any]) -> Any:
            result = model.context.run(model.call, variables)
            return wait(result) if model.is_async else result

        lifecycle.start(model, wait)
        for example in examples.rejected(spec.path):
            _expect_rejection(predict, example, spec)
        if not model.examples:
            return Baseline()
        try:
            runs = [_run(predict, example, spec) for example in model.examples]
        except NotFitted:
            return Baseline(unfitted=True)
        first, *rest = [seconds for seconds, _ in runs]
        answers = [answer for _, answer in runs]
        spent, index, is_steady = first + sum(rest), 0, None
        while (len(rest) < TIMED_CALLS or not index) and spent + first < timeout * TIMED_SHARE:
            which = index % len(model.examples)
            seconds, answer = _run(predict, model.examples[which], spec)
            is_steady = is_steady is not False and not find_difference(answers[which], answer)
            rest.append(seconds)
            spent, index = spent + seconds, index + 1
        if model.call_batch:
            _compare_batch(model, spec, answers)
    return Baseline(statistics.median(rest or [first]), first, answers, is_steady)


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
        got = json.loads(results.dump(result))
    if example.response is not None and (difference := find_difference(example.response, got)):
        raise _failed(example, difference)
    return seconds, got


def _expect_rejection(
    predict: Callable[[dict[str, Any]], Any], example: Example, spec: ModelSpec
) -> None:
    """Run an example that the model rejects, unless nothing is fitted. Raises ModelBroken."""
    try:
        with _blaming(example, spec):
            try:
                results.dump(predict(copy.deepcopy(example.variables)))
            except Exception as error:
                if _rejects(error, example):
                    return
                raise
    except NotFitted:
        return
    raise _failed(example, f"it must be rejected with {example.status}, and it is answered")


def _rejects(error: Exception, example: Example) -> bool:
    """Return whether a request is rejected as the example says."""
    if isinstance(error, VariablesInvalid):
        return example.status == INVALID
    rejected = rejection.of(error)
    return rejected is not None and rejected.status == example.status


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
        again = _run(lambda variables: model.context.run(model.call, variables), example, spec)[1]
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
        found = model.context.run(model.call_batch, rows)
        if len(found) != len(rows):
            message = f"{convention.BATCH} returned {len(found)} results for {len(rows)} rows"
            raise ModelRaised("ValueError", message)
    answers = []
    for example, result in zip(batch, found, strict=True):
        with _blaming(example, spec):
            if isinstance(result, Exception):
                raise result
            answers.append(json.loads(results.dump(result)))
    return answers


# --- faults ---------------------------------------------------------------------------------------


@contextmanager
def _blaming(example: Example, spec: ModelSpec) -> Iterator[None]:
    """Turn any exception of the model, but NotFitted, into the fault of that example."""
    try:
        yield
    except NotFitted:
        raise
    except VariablesInvalid as error:
        raise _failed(example, f"its variables do not fit: {error}") from None
    except ModelRaised as error:
        raise _failed(example, str(error)) from None
    except BaseException as error:  # noqa: BLE001 - model code: SystemExit is the model's fault
        fault = from_exception(error, spec, "example")
        message, hint = f"example {example.name}: {fault.message}", fault.hint
        if (rejected := rejection.of(error)) and example.status is None:
            hint = f'an example of a rejected request holds "status": {rejected.status}'
        raise ModelBroken(replace(fault, message=message, hint=hint)) from None
    finally:
        guards.restore_cwd()


def _failed(example: Example, message: str) -> ModelBroken:
    return ModelBroken(Fault("example", message, f"{convention.EXAMPLES}/{example.name}.json"))
