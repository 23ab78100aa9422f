"""One training run: fill, check, train, compare, promote. Each step is written down once it is
done, so that whoever begins the run again goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from modelsync.continuous import checking, filling, promoting, seen, training
from modelsync.continuous.code import Code
from modelsync.continuous.context import RunContext, Step, StepReport
from modelsync.continuous.failures import StepFailed, error_of
from modelsync.continuous.run_record import RunRecord, Stopped
from modelsync.errors import ModelsyncError, RunInProgress
from modelsync.models.types import ModelName
from modelsync.observability.logs import event
from modelsync.settings import Settings
from modelsync.store import Store
from modelsync.store.records import RUN_STEPS, RunOutcome, RunStep, TrainingRun, Trigger
from modelsync.training import plan
from modelsync.training.stop import Stop

log = logging.getLogger(__name__)

STEPS: dict[RunStep, Step] = {
    "fill": filling.fill,
    "check": checking.check,
    "train": training.train,
    "compare": promoting.compare,
    "promote": promoting.promote,
}

AGAIN_FROM: dict[RunStep, RunStep] = {"check": "fill", "train": "fill"}
"""Where a run begins again that has stopped at a step: its data may have been mended since."""

Tell = Callable[[TrainingRun, RunStep, StepReport], None]


@dataclass(frozen=True, slots=True)
class TrainingPipeline:
    """Runs models of one release. `tell` is called after each step. `force`: train though data and
    code are the same.
    """

    config: Settings
    store: Store
    code: Code
    stop: Stop
    tell: Tell
    force: bool = False

    def run(
        self, name: ModelName, day: date, trigger: Trigger, only: RunStep | None = None
    ) -> TrainingRun | None:
        """Run all steps that are left, or `only` one; return the run as it is then. None: the data
        has not changed, so that nothing was begun.

        Raises RunInProgress if another process works on a run of the model, Stopped, StepFailed
        with what is in the row; StoreUnavailable, if nothing could be begun.
        """
        entry = self.code.entry(name)
        spec = self.code.spec(entry)
        if why := plan.why_not(spec):
            raise StepFailed("NotTrainable", why)
        if only and (done := self._done(name, day, spec.version, only)):
            return done
        polls = trigger == "change" and not only and not self.force
        if polls and seen.is_unchanged(spec, self.config, day, self.store.catalog):
            return None
        record = RunRecord(self.store.catalog, self.config, self.stop)
        row = record.begin(spec, day, trigger)
        run = RunContext(
            self.config, self.store, self.code, entry, spec, day, record, self.stop, self.force
        )
        with record:
            if only:
                return self._guarded(run, only, (only,))
            first = RUN_STEPS.index(AGAIN_FROM.get(row.step, row.step))
            return self._guarded(run, RUN_STEPS[first], RUN_STEPS[first:])

    def _guarded(self, run: RunContext, step: RunStep, steps: tuple[RunStep, ...]) -> TrainingRun:
        """Do some steps; whatever ends them is written down, and said in one line of the log."""
        try:
            self._require_turn(run, step)
            for step in steps:
                run.record.require_own()
                run.record.note(step=step)
                try:
                    progress = STEPS[step](run)
                finally:
                    seen.note(run, step)
                self.tell(run.record.row, step, progress)
                if progress.over or step == RUN_STEPS[-1]:
                    return run.record.done(_outcome(step, progress))
            return run.record.pause(RUN_STEPS[RUN_STEPS.index(step) + 1])
        except Stopped:
            run.record.pause(step)
            raise
        except RunInProgress:
            raise
        except Exception as error:
            raise self._failed(run, step, error) from error

    def _failed(self, run: RunContext, step: RunStep, error: Exception) -> StepFailed:
        """Write down why a step has failed; return the error to raise, with the same words."""
        found = error_of(step, error)
        if not isinstance(error, ModelsyncError):
            log.exception("%s: %s: unexpected", run.spec.name, step)
            found = {**found, "message": f"{found['kind']}: an error of modelsync: see its log"}
        row = run.record.row
        event(
            log,
            logging.ERROR,
            f"the training of {row.model} for {row.date} has failed: {step}: {found['message']}",
            event="training_run",
            run=row.number,
            model=row.model,
            date=row.date.isoformat(),
            step=step,
            kind=found["kind"],
        )
        run.record.failed(found)
        facts = {key: value for key, value in found.items() if key not in ("kind", "message")}
        return StepFailed(str(found["kind"]), str(found["message"]), **facts)

    def _require_turn(self, run: RunContext, step: RunStep) -> None:
        """Hold to the order of the steps. Raises StepFailed."""
        row = run.record.row
        left = [one for one in RUN_STEPS[1 : RUN_STEPS.index(step)] if _is_left(row, one, run)]
        if left:
            raise StepFailed("WrongStep", f"{step} cannot begin: {left[0]} was not done that day")

    def _done(self, name: str, day: date, code: str, step: RunStep) -> TrainingRun | None:
        """Return the run of a day that is done, if one of its later steps is asked for again."""
        if RUN_STEPS.index(step) < RUN_STEPS.index("train"):
            return None
        newest = next(iter(self.store.catalog.runs(name, day, limit=1)), None)
        return newest if newest and newest.state == "done" and newest.code == code else None


def _is_left(row: TrainingRun, step: RunStep, run: RunContext) -> bool:
    """Whether a step has still to be done before a later one; each may begin without `fill`."""
    if step == "check":
        return bool(plan.sources_of(run.spec)) and not (row.report and row.report.get("passed"))
    if step == "train":
        return row.version is None
    return row.comparison is None


def _outcome(step: RunStep, progress: StepReport) -> RunOutcome:
    if step != "promote":
        return "unchanged"
    return "kept" if progress.facts.get("verdict") else "promoted"
