"""The first half of a job: the model's code makes a fitted object, which becomes an artefact."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Any

from modelsync import json_text
from modelsync.errors import DataInvalid
from modelsync.fitting import artefact, batches, checkpoint, evaluation, filling, trial, uploads
from modelsync.fitting.artefact import Saver
from modelsync.fitting.checkpoint import CheckpointState
from modelsync.fitting.held_out import HeldOut
from modelsync.fitting.messages import FitJob, FitResult
from modelsync.fitting.reporter import ProgressReporter
from modelsync.models.isolation import process_state
from modelsync.models.loading import lifecycle, loader
from modelsync.models.schemas import training_data
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
    if job.kind == "fill":
        return filling.run(job, reporter)
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
        self.held_out = HeldOut(job.test_size, job.target)
        self.trainable = Trainable(self.model, reporter.heard, measures=not job.test_size)
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
            comparison = self._comparison(metrics)
            verdict = comparison["verdict"] if comparison else self._verdict(metrics)
            metrics = comparison["new"] if comparison else metrics
            self._restore()
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
            comparison=comparison,
        )

    def _comparison(self, metrics: dict[str, Any]) -> dict[str, Any] | None:
        """Compare with the current version, in a training with the model's own data."""
        if not self.job.planned:
            return None
        return evaluation.compare(self.job, self.trainable, self.held_out.table(), metrics)

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
            return self._train()
        if job.batches < 0:
            with self.reporter.stage("data"):
                x, y = self._body()
            return self._fit(x, y)
        if "update" in job.spec.methods or job.kind == "update":
            return self._stream()
        with self.reporter.stage("data"):
            data = self._everything()
        return self._fit(data.x, data.y)

    def _train(self) -> Fitted:
        """Call the model's own `train`, with the rows of its source if it takes them."""
        if not self.trainable.trains_on_data or self.job.batches < 0:
            with self.reporter.stage("fit"):
                return self.trainable.train(self.job.params)
        with self.reporter.stage("data"):
            table = batches.everything(self.job, self.held_out)
            self._note(table)
        with self.reporter.stage("fit"):
            frame = batches.part(table, ()).x
            inputs = batches.part(table.slice(0, trial.SAMPLE), self.job.target)
            return self.trainable.train(self.job.params, frame, inputs.x)

    def _everything(self) -> batches.Part:
        table = batches.everything(self.job, self.held_out)
        self._note(table)
        return batches.part(table, self.job.target)

    def _note(self, table: Any) -> None:
        """Note what is known of the rows of a job; they must have classes to tell apart."""
        if self.job.planned:
            self.held_out.require_classes()
        data = batches.part(table, self.job.target)
        self._took(data.x, data.rows)
        self.histograms.add(data.x, data.y)

    def _body(self) -> tuple[Any, Any]:
        if self.job.input is None:
            raise DataInvalid('expected {"x": ..., "y": ...}, or {"source": ...}; came neither')
        data = bodies.training(json_text.loads(self.job.input.read_bytes()))
        if self.job.spec.schema:
            data = training_data.conform(data, self.job.spec.schema)
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
            self.rows = self.resumed.rows - self.resumed.held_out
            self.sample = self.resumed.sample
            if self.resumed.held_out and job.checkpoint:
                self.held_out.restore(checkpoint.held_out(job.checkpoint), self.resumed.rows)
            made = self.resumed.made
            fitted = Fitted(self.model.instance.model, made.metrics, made.inputs)
        due, last = monotonic() + job.checkpoint_seconds, None
        with self.reporter.stage("data"):
            for part in batches.parts(job, self.held_out):
                if not part.rows:
                    continue
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
        if job.planned:
            self.held_out.require_classes()
        return fitted

    def _save(self, fitted: Fitted, file: Any) -> None:
        """Write a checkpoint and tell of it."""
        assert self.rows is not None
        with self.reporter.stage("serialise"):
            made = self.saver.save(fitted, "checkpoint")
            held_out = self.held_out.table()
            state = CheckpointState(
                self.job.source,
                self.rows + self.held_out.rows,
                made,
                self.sample,
                self._statistics(fitted),
                self.held_out.rows,
            )
            part = self.job.output / made.file
            checkpoint.write(file, state, part, held_out)
            part.unlink()
            self.reporter.checkpoint(self.rows, self.job.rows, file)
