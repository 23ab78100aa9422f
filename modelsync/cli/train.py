"""`modelsync train`: fresh data in, checked, trained, compared, served."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from modelsync.cli.command import start
from modelsync.errors import StoreUnavailable

if TYPE_CHECKING:
    from modelsync.continuous.pipeline import TrainingPipeline
    from modelsync.models.types import ModelName
    from modelsync.store.records import RunStep, TrainingRun, Trigger

AWAY, BUSY = 69, 75
"""Exit codes of sysexits.h: EX_UNAVAILABLE, if models have failed for want of the store or of the
database of training data alone; EX_TEMPFAIL, if another process works on a model, or this one was
told to end.
"""

PAUSE = 5.0
"""Seconds between two tries with `--wait`."""

STEPS = ("fill", "check", "train", "compare", "promote")

TRIGGERS = ("command", "schedule", "change", "drift", "airflow")


@click.command(short_help="Train models with the newest data.")
@click.argument("models", nargs=-1, metavar="[MODEL...]")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The day whose data counts.")
@click.option("--step", type=click.Choice(STEPS), help="Do this step of the day's run alone.")
@click.option("--trigger", type=click.Choice(TRIGGERS), default="command", help="What starts it.")
@click.option("--force", is_flag=True, help="Train though data and code have not changed.")
@click.option("--wait", is_flag=True, help="Wait for another process that works on the model.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--parent", type=int, hidden=True, help="End with this process, which is the parent.")
def train(
    models: tuple[str, ...],
    day: datetime | None,
    step: RunStep | None,
    trigger: Trigger,
    *,
    force: bool,
    wait: bool,
    as_json: bool,
    parent: int | None,
) -> int:
    """Train MODELS with the data of a day: fill, check, train, compare, promote.

    Without MODEL all that can be trained by themselves are, one after another. Without --date days
    that have failed or were missed are caught up first, 30 at most. The same data and code train
    nothing twice. A step that fails is begun again by the next call.

    The exit code is 0 if all is done, 1 if a model has failed; 69 if the store or the database was
    away, 75 if another process works on a model, or this one was told to end: the run goes on with
    the next call.
    """
    from modelsync import orphans, store
    from modelsync.continuous import code
    from modelsync.continuous.pipeline import TrainingPipeline
    from modelsync.training.stop import Stop

    stop = Stop()
    stop.listen()
    if parent:
        orphans.end_with_parent(signal.SIGTERM, parent)
    config = start()
    os.nice(config.training.nice)
    report = Report(as_json=as_json)
    with code.current(config, models) as found:
        pipeline = TrainingPipeline(config, store.open(config), found, stop, report.step, force)
        asked = Asked(pipeline, report, trigger, step, wait=wait)
        for name in asked.names(models):
            asked.train(name, day.date() if day else None)
            if stop.asked or asked.away:  # the others would wait in vain, one after another
                report.code = report.code or BUSY
                break
    return report.code


class Report:
    """What the command prints, and its exit code."""

    def __init__(self, *, as_json: bool) -> None:
        self.code = 0
        self._as_json = as_json

    def step(self, run: TrainingRun, step: RunStep, progress: Any) -> None:
        """Print what a step has done."""
        facts = {"run": run.number, "step": step, "message": progress.message, **progress.facts}
        said = f"{step}: {progress.message}"
        self._print(run.model, run.date, said, facts)

    def done(self, run: TrainingRun) -> None:
        """Print how a run stands; nothing in words, as its steps have told it."""
        from modelsync.training.run_resource import resource

        said = f"{run.outcome or run.state}" if run.state == "done" else ""
        self._print(run.model, run.date, said, {**resource(run, full=False), "run": run.number})

    def unchanged(self, name: str, day: date) -> None:
        """Print that nothing was begun."""
        facts = {"run": None, "state": "done", "outcome": "unchanged"}
        self._print(name, day, "the data has not changed", facts)

    def skipped(self, name: str, why: str) -> None:
        """Print why a model is left out."""
        self._print(name, None, f"is left out: {why}", {"state": "skipped", "message": why})

    def failed(self, name: str, day: date | None, message: str, **facts: Any) -> None:
        """Print what has gone wrong, in one line on standard error."""
        away = facts.get("kind") == StoreUnavailable.__name__ and self.code != 1
        self.code = AWAY if away else 1
        place = f"{name} {day.isoformat()}" if day else name
        click.echo(f"modelsync: {place}: {message}", err=True)
        if self._as_json:
            kind = facts.pop("kind", "")
            error = {"step": facts.get("step"), "kind": kind, "message": message, **facts}
            self._print(name, day, "", {"state": "failed", "outcome": "", "error": error})

    def busy(self, name: str, day: date, message: str) -> None:
        """Print that the run goes on elsewhere, or later."""
        self.code = self.code or BUSY
        click.echo(f"modelsync: {name} {day.isoformat()}: {message}", err=True)
        if self._as_json:
            self._print(name, day, "", {"state": "waiting", "outcome": "", "message": message})

    def _print(self, name: str, day: date | None, said: str, facts: dict[str, Any]) -> None:
        if self._as_json:
            import orjson

            known = {"model": name, "date": day.isoformat() if day else None, **facts}
            click.echo(orjson.dumps(known, default=str, option=orjson.OPT_NON_STR_KEYS).decode())
        elif said:
            click.echo(" ".join(filter(None, (name, day.isoformat() if day else "", said))))


class Asked:
    """What is asked of the pipeline, model by model; a failure of one does not end the others.

    `away`: the store did not answer, so that nothing could be begun.
    """

    def __init__(
        self,
        pipeline: TrainingPipeline,
        report: Report,
        trigger: Trigger,
        step: RunStep | None,
        *,
        wait: bool,
    ) -> None:
        self._pipeline = pipeline
        self._report = report
        self._trigger: Trigger = trigger
        self._step = step
        self._wait = wait
        self.away = False

    def names(self, models: tuple[str, ...]) -> Iterator[ModelName]:
        """Yield the models to train: those that are named, else all that can be."""
        from modelsync.models.types import ModelName
        from modelsync.training import plan

        if models:
            yield from (ModelName(name) for name in dict.fromkeys(models))
            return
        code = self._pipeline.code
        for name in sorted(code.release.models):
            spec = code.spec(code.entry(name))
            if why := plan.why_not(spec):
                self._report.skipped(name, why)
            else:
                yield name

    def train(self, name: ModelName, day: date | None) -> None:
        """Train one model with a day, or with those that are due."""
        from modelsync.continuous import days
        from modelsync.errors import ModelsyncError

        now = day or days.today()
        try:
            pipeline = self._pipeline
            spec = pipeline.code.spec(pipeline.code.entry(name))
            due = [now] if day or self._step else days.to_train(spec, pipeline.store.catalog, now)
        except ModelsyncError as error:
            self.away = isinstance(error, StoreUnavailable)
            self._report.failed(name, None, str(error), kind=type(error).__name__)
            return
        for one in due:
            self._day(name, one)
            if pipeline.stop.asked:
                return

    def _day(self, name: ModelName, day: date) -> None:
        """Train a model with one day, and report how that ended."""
        from modelsync.continuous.failures import StepFailed
        from modelsync.continuous.run_record import Stopped
        from modelsync.errors import ModelsyncError, RunInProgress

        while True:
            try:
                run = self._pipeline.run(name, day, self._trigger, self._step)
            except RunInProgress as error:
                if self._wait and not self._pipeline.stop.wait(PAUSE):
                    continue
                self._report.busy(name, day, str(error))
            except Stopped as error:
                self._report.busy(name, day, str(error))
            except StepFailed as error:
                step = error.facts.get("step")
                said = f"{step}: {error}" if step else str(error)
                self._report.failed(name, day, said, kind=error.kind, **error.facts)
            except ModelsyncError as error:
                self.away = isinstance(error, StoreUnavailable)
                self._report.failed(name, day, str(error), kind=type(error).__name__)
            else:
                if run:
                    self._report.done(run)
                else:
                    self._report.unchanged(name, day)
            return
