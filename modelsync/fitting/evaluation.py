"""Evaluates the new version, and the one that serves, with the rows that were held out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from modelsync.fitting import artefact, batches, trial
from modelsync.fitting.messages import FitJob
from modelsync.models.loading import lifecycle, loader
from modelsync.models.training import comparison
from modelsync.models.training.evaluator import Evaluator
from modelsync.models.training.trainable import Trainable

CHUNK = 10_000
"""Rows that are predicted at a time."""

_log = logging.getLogger(__name__)

Metrics = Mapping[str, Any]


def metrics_of(job: FitJob, trainable: Trainable, table: Any) -> dict[str, Any]:
    """Return the metrics of what is fitted: those of the class's `metrics`, else accuracy, or r2
    and rmse; and the metric of the plan where scikit-learn has a scorer of its name.

    `table`: the rows that were held out, as an Arrow table. Raises what the model raises.
    """
    part = batches.part(table, job.target)
    evaluator = Evaluator(trainable)
    own = evaluator.measured(part.x, part.y)
    if own is not None:
        return artefact.numbers(own)
    if not job.target:
        return {}
    truth = table.select(list(job.target)).to_pylist()
    predicted: list[Any] = []
    for start in range(0, part.rows, CHUNK):
        predicted += evaluator.predicted(trial.as_table(trial.plain(part.x[start : start + CHUNK])))
    if len(job.target) == 1 and not any(isinstance(one, dict) for one in predicted[:1]):
        truth = [row[job.target[0]] for row in truth]
    found = comparison.scores(predicted, truth, classes=evaluator.classifies(truth))
    name = job.spec.plan.metric
    if name and name not in found:
        found |= evaluator.scored(name, part.x, part.y)
    return artefact.numbers(found)


def compare(job: FitJob, trainable: Trainable, table: Any, own: Metrics) -> dict[str, Any]:
    """Return the comparison of the new version with the current one, as `NewVersion` has it.

    `own`: the metrics that training itself has given. A version that cannot be evaluated, because
    it takes other columns for example, fails nothing: what is known of it is compared.
    """
    new, old, number = dict(own), None, job.current.number if job.current else None
    rows = 0 if table is None else table.num_rows
    why = ""
    if table is not None:
        try:
            new |= metrics_of(job, trainable, table)
        except Exception as error:  # noqa: BLE001  model code
            _log.warning(
                "held-out rows cannot be predicted (%s: %s): give the class metrics(self, x, y)",
                type(error).__name__,
                error,
            )
            rows, table = 0, None
    if job.current and table is not None:
        try:
            old = _of_current(job, table)
        except BaseException as error:  # noqa: BLE001  model code, of a version that was stored
            why = f"version {number} cannot be evaluated with these rows: {error}"
            _log.warning("%s", why)
    elif job.current:
        old = job.old_metrics
    return {
        "metric": job.spec.plan.metric,
        "new": new,
        "old": old,
        "version": number,
        "rows": rows,
        "reason": why,
        "verdict": _verdict(job, trainable, new, old),
    }


def _verdict(job: FitJob, trainable: Trainable, new: Metrics, old: Metrics | None) -> str:
    """Return why the new version must not serve by itself; empty if it may."""
    if not trainable.promote:
        return 'the model says promote = "manual"'
    number = job.current.number if job.current else None
    if "accept" in job.spec.methods:
        return trainable.accept(new, old) if job.current else ""
    return comparison.verdict(job.spec.plan, new, old, number)


def _of_current(job: FitJob, table: Any) -> dict[str, Any]:
    model = loader.load(job.spec, alone=True, fitted=job.current)
    try:
        lifecycle.start(model)
        return metrics_of(job, Trainable(model), table)
    finally:
        lifecycle.stop(model)
        loader.unload(model)
