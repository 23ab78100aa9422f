"""The second half of a job, in a new interpreter: the artefact is loaded as it will be, and must
predict as the fitted object did before it was written.

`record` writes what is compared; `run` compares, and measures what a call takes.
"""

from __future__ import annotations

import inspect
import logging
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import Any

from modelsync import json_text
from modelsync.errors import JobFailed, VariablesInvalid
from modelsync.files import write_atomically
from modelsync.fitting import artefact
from modelsync.fitting.messages import FitJob, FitResult
from modelsync.fitting.reporter import ProgressReporter
from modelsync.models import results
from modelsync.models.check.comparison import BATCH, find_difference
from modelsync.models.loading import lifecycle, loader
from modelsync.models.tables import schema
from modelsync.models.tables.table import Table
from modelsync.models.training.trainable import Trainable
from modelsync.models.types import LoadedModel

SAMPLE = 10
"""Rows of the training data that are predicted before and after."""

CALLS, CALLS_SECONDS = 7, 1.0
"""Calls that are measured, and the time after which no further one is made."""

EXPECTED = "expected.json"

_log = logging.getLogger(__name__)


# --- before it is written -------------------------------------------------------------------------


def sample(x: Any) -> dict[str, Any]:
    """Return the first rows of x as JSON holds them; empty if they are of an unknown kind."""
    if isinstance(x, Table):
        columns = {name: values[:SAMPLE] for name, values in x.items()}
        return {"columns": columns, "named": x.named, "flat": x.flat}
    try:
        return plain(x.iloc[:SAMPLE] if hasattr(x, "iloc") else x[:SAMPLE])
    except Exception as error:  # noqa: BLE001  rows that JSON cannot hold are not compared
        _log.info("the first rows cannot be compared: %s", type(error).__name__)
        return {}


def plain(x: Any) -> dict[str, Any]:
    """Return the rows of a DataFrame or an array as JSON holds them, as `as_table` takes them."""
    named = hasattr(x, "iloc")
    if named:
        columns = {str(name): x.iloc[:, n].tolist() for n, name in enumerate(x.columns)}
    else:
        rows = x.reshape(len(x), -1)
        columns = {str(n): rows[:, n].tolist() for n in range(rows.shape[1])}
    return {"columns": json_text.loads(results.dump(columns)), "named": named, "flat": False}


def record(job: FitJob, model: LoadedModel, trainable: Trainable, rows: dict[str, Any]) -> None:
    """Write what the object in memory predicts for the first rows and for the model's examples.

    What it predicts otherwise the second time is left out, and an example that fails. Raises what
    the model raises for the first rows, and ModelBroken if it cannot predict.
    """
    expected: dict[str, Any] = {"rows": rows, "answers": None, "examples": {}}
    trainable.bind()
    if rows:
        try:
            expected["answers"] = _steady(lambda: trainable.predict(as_table(rows)))
        except VariablesInvalid as error:  # of transform_predict, which takes something else
            _log.info("the first rows cannot be compared: %s", error)
    for example in model.examples:
        try:
            answer = _steady(partial(_call, model, example.variables))
        except Exception as error:  # noqa: BLE001  model code; the example may be of other data
            _log.warning("the example %s fails: %s", example.name, type(error).__name__)
        else:
            expected["examples"][example.name] = answer
    write_atomically(job.output / EXPECTED, json_text.dumps(expected))


def _call(model: LoadedModel, variables: Mapping[str, Any]) -> Any:
    return model.call(dict(variables))


def _steady(call: Callable[[], Any]) -> Any:
    """Return an answer as JSON, None if it differs from call to call."""
    first, second = _plain(call()), _plain(call())
    return None if find_difference(first, second, BATCH) else first


def _plain(answer: Any) -> Any:
    if inspect.isawaitable(answer):
        answer = lifecycle.wait_here(answer)
    return json_text.loads(results.dump(answer))


def as_table(rows: Mapping[str, Any]) -> Table:
    """Return a sample as the table that a request with it would be."""
    return Table(rows["columns"], named=rows["named"], flat=rows["flat"])


# --- after it is written --------------------------------------------------------------------------


def run(job: FitJob, made: FitResult, reporter: ProgressReporter) -> FitResult:
    """Load the artefact and compare; return it with the time of a call.

    Raises JobFailed of stage `verify` where it predicts otherwise, and what loading it raises.
    """
    with reporter.stage("verify"):
        fitted = artefact.version(job, made, job.output / made.file)
        model = loader.load(job.spec, alone=True, fitted=fitted)
        lifecycle.start(model)
        if job.kind == "upload":
            return _uploaded(model, made)
        expected = json_text.loads((job.output / EXPECTED).read_bytes())
        if expected["answers"] is not None:
            _compare("the first rows", expected["answers"], model.call(as_table(expected["rows"])))
        for example in model.examples:
            if (answer := expected["examples"].get(example.name)) is not None:
                _compare(f"the example {example.name}", answer, _call(model, example.variables))
        return replace(made, call_seconds=_call_seconds(model, expected))


def _compare(what: str, before: Any, after: Any) -> None:
    if difference := find_difference(before, _plain(after), BATCH):
        raise JobFailed(
            "verify",
            "",
            f"the stored model predicts otherwise than the fitted one for {what}: {difference}; "
            "what it needs must be in the object that fit returns: choose another serializer, or "
            "give the class its own dump(self, file) and load(self, file)",
        )


def _call_seconds(model: LoadedModel, expected: Mapping[str, Any]) -> float | None:
    """Return the median time of a call with one row; None if there is nothing to call it with."""
    if expected["answers"] is not None:
        rows = expected["rows"]
        if rows["flat"]:
            one = dict(rows)
        else:
            columns = {name: values[:1] for name, values in rows["columns"].items()}
            one = {**rows, "columns": columns}
        return _median(lambda: model.call(as_table(one)))
    named = [one for one in model.examples if one.name in expected["examples"]]
    return _median(lambda: _call(model, named[0].variables)) if named else None


def _median(call: Callable[[], Any]) -> float:
    times: list[float] = []
    while len(times) < CALLS and sum(times) < CALLS_SECONDS:
        started = perf_counter()
        answer = call()
        if inspect.isawaitable(answer):
            lifecycle.wait_here(answer)
        times.append(perf_counter() - started)
    return statistics.median(times)


# --- uploads --------------------------------------------------------------------------------------


def _uploaded(model: LoadedModel, made: FitResult) -> FitResult:
    """Read what an uploaded model takes, and call it with the examples of the folder.

    Raises what it raises for an example.
    """
    for example in model.examples:
        _plain(_call(model, example.variables))
    seconds = None
    if model.examples:
        seconds = _median(lambda: _call(model, model.examples[0].variables))
    obj = getattr(model.instance, "model", None)
    return replace(made, inputs=schema.of_estimator(obj), call_seconds=seconds)
