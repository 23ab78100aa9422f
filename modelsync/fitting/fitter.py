"""The first half of a job: the model's code makes a fitted object, which becomes an artefact."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Any

from modelsync import json_text
from modelsync.errors import DataInvalid
from modelsync.fitting import artefact, batches, checkpoint, trial, uploads
from modelsync.fitting.artefact import Saver
from modelsync.fitting.checkpoint import CheckpointState
from modelsync.fitting.messages import FitJob, FitResult
from modelsync.fitting.reporter import ProgressReporter
from modelsync.models.isolation import process_state
from modelsync.models.loading import lifecycle, loader
from modelsync.models.serializers import registry
from modelsync.models.serializers.serializer import Owner
from modelsync.models.statistics.histograms import Histograms
from modelsync.models.statistics.merging import merged
from modelsync.models.statistics.prediction_kind import classifies
from modelsync.models.statistics.summary import TableStatistics
from modelsync.models.tables import bodies
from modelsync.models.training.trainable import Fitted, Trainable
from modelsync.models.types import LoadedModel


def run(job: FitJob, reporter: ProgressReporter) -> FitResult:
    """Fit, write the artefact, and what the second half compares. Raises what the model raises."""
    if job.kind == "upload":
        with reporter.stage("data"):
            return uploads.take(job)
    return Fitter(job, reporter).run()


class Fitter:
    """One fit, train or update of a model in this process.

    `rows`: how many its object has taken; None if that is not known. `sample`: the first of them.
    """

    def __init__(self, job: FitJob, reporter: ProgressReporter) -> None:
        self.job = job
        self.reporter = reporter
        self.rows: int | None = None
        self.sample: dict[str, Any] = {}
        self.histograms = Histograms()
        with reporter.stage("load"):
            self.resumed = checkpoint.read(job.checkpoint) if job.checkpoint else None
            self.model = self._load()
            lifecycle.start(self.model)
        self._restore = process_state.snapshot()
        self.trainable = Trainable(self.model, reporter.heard)
        wanted = self.trainable.serializer or job.serializer
        registry.named(wanted)  # raises now, and not after hours of fitting
        self._owner = Owner(self.model.package, self.model.instance)
        self.saver = Saver(job, self._owner, wanted)

    def _load(self) -> LoadedModel:
        """Load the model: with the object of the checkpoint, else with the version to update."""
        job, fitted = self.job, self.job.base
        if job.checkpoint and self.resumed:
            file = checkpoint.unpack(job.checkpoint, self.resumed, job.output / "restored")
            fitted = artefact.version(job, self.resumed.made, file)
        return loader.load(job.spec, alone=True, fitted=fitted, writable=True)

    def run(self) -> FitResult:
        """Make the object and the artefact."""
        fitted = self._fitted()
        self._restore()  # the next lines are ours
        if self.rows is not None:
            self.reporter.rows(self.rows, self.job.rows or self.rows, last=True)
        with self.reporter.stage("fit"):
            metrics = artefact.numbers(fitted.metrics)
            verdict = self._verdict(metrics)
        with self.reporter.stage("serialise"):
            made = self.saver.save(fitted, "artefact")
        with self.reporter.stage("verify"):
            trial.record(self.job, self.model, self.trainable, self.sample)
        promote = self.job.promote and not verdict
        return replace(
            made,
            metrics=metrics,
            rows=self.rows,
            promote=promote,
            verdict=verdict,
            statistics=self._statistics(fitted),
        )

    def _statistics(self, fitted: Fitted) -> TableStatistics | None:
        """Return those of all rows that the object has taken in this job, also before a kill."""
        found = self.histograms.statistics(classifies=classifies(fitted.model))
        return merged(self.resumed.statistics, found) if self.resumed else found

    def _verdict(self, metrics: dict[str, Any]) -> str:
        """Return why the version must not become current by itself, empty if it may."""
        if not self.trainable.promote:
            return 'the model says promote = "manual"'
        if self.job.old_metrics is None:
            return ""
        return self.trainable.accept(metrics, self.job.old_metrics)

    # --- the data ---------------------------------------------------------------------------------

    def _fitted(self) -> Fitted:
        job = self.job
        if job.kind == "train":
            with self.reporter.stage("fit"):
                return self.trainable.train(job.params)
        if job.batches < 0:
            with self.reporter.stage("data"):
                x, y = self._body()
            return self._fit(x, y)
        if "update" in job.spec.methods or job.kind == "update":
            return self._stream()
        with self.reporter.stage("data"):
            data = batches.everything(job)
        self._took(data.x, data.rows)
        self.histograms.add(data.x, data.y)
        return self._fit(data.x, data.y)

    def _body(self) -> tuple[Any, Any]:
        if self.job.input is None:
            raise DataInvalid('expected {"x": ..., "y": ...}, or {"source": ...}; came neither')
        data = bodies.training(json_text.loads(self.job.input.read_bytes()))
        self.histograms.add(data.x, data.y)
        self._took(data.x, data.x.rows)
        return data.x, data.y

    def _took(self, x: Any, rows: int) -> None:
        """Count rows, and keep the first ones."""
        self.sample = self.sample or trial.sample(x)
        self.rows = (self.rows or 0) + rows

    def _fit(self, x: Any, y: Any, *, further: bool = False) -> Fitted:
        """Give rows to the model: to `update` in an update, and for all but the first batch."""
        with self.reporter.stage("fit"):
            if further or self.job.kind == "update":
                return self.trainable.update(x, y)
            return self.trainable.fit(x, y, self.job.params)

    # --- data larger than memory ------------------------------------------------------------------

    def _stream(self) -> Fitted:
        """Give the model batch after batch, and write checkpoints between them."""
        job, fitted = self.job, None
        if self.resumed:
            self.rows, self.sample = self.resumed.rows, self.resumed.sample
            made = self.resumed.made
            fitted = Fitted(self.model.instance.model, made.metrics, made.inputs)
        due, last = monotonic() + job.checkpoint_seconds, None
        with self.reporter.stage("data"):
            for part in batches.parts(job):
                self.histograms.add(part.x, part.y)  # before the model may change them
                fitted = self._fit(part.x, part.y, further=fitted is not None)
                self._took(part.x, part.rows)
                assert self.rows is not None
                self.reporter.rows(self.rows, job.rows)
                del part
                if job.source and monotonic() > due and not (last and last.exists()):
                    last = job.output / f"checkpoint-{self.rows}"
                    self._save(fitted, last)
                    due = monotonic() + job.checkpoint_seconds
                self.reporter.current = "data"
        if fitted is None:
            raise DataInvalid("the data is empty: it has no row")
        return fitted

    def _save(self, fitted: Fitted, file: Any) -> None:
        """Write a checkpoint and tell of it."""
        assert self.rows is not None
        with self.reporter.stage("serialise"):
            made = self.saver.save(fitted, "checkpoint")
            state = CheckpointState(
                self.job.source, self.rows, made, self.sample, self._statistics(fitted)
            )
            part = self.job.output / made.file
            checkpoint.write(file, state, part)
            part.unlink()
            self.reporter.checkpoint(self.rows, self.job.rows, file)
