"""Airflow DAGs that train the models of modelsync: one of each model that can be trained by itself.

Each task runs one step of `modelsync train`, which runs in an environment of its own. So neither
modelsync nor a library of a model is imported here: the folders are parsed and never run, in
milliseconds. All settings are environment variables, which README.md beside this folder lists.
"""

from __future__ import annotations

import json
import logging
import shlex
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    BaseOperator,
    CronTriggerTimetable,
    chain,
    conf,
    get_parsing_context,
)
from airflow.sdk.definitions.asset import Model
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)
from modelsync_command import BUSY, FOLDER, Result, TrainCommand, setting, setting_as
from modelsync_models import Trainable, find

log = logging.getLogger("modelsync.airflow")

STEPS = {
    "datafill": "fill",
    "check": "check",
    "train": "train",
    "compare": "compare",
    "promote": "promote",
}
"""The tasks, and the steps of `modelsync train` that they run."""

WAIT = timedelta(seconds=30)
"""How long a task waits for another process that works on its model. Within some seconds Airflow
would take the end of the old wait for the end of the task, and fail it.
"""

# --- settings -------------------------------------------------------------------------------------


RETRY_DELAY = timedelta(
    seconds=setting_as(float, "MODELSYNC_AIRFLOW_RETRY_DELAY", "60", "a number of seconds")
)


def models_folder() -> Path:
    """Return the folder of the models: what serves of a repository, or the folder that is set."""
    if setting("gitPath"):
        return FOLDER / setting("MODELSYNC_HOME", ".modelsync") / "current" / "models_serve"
    return FOLDER / setting("MODELSYNC_MODELS", "models_serve")


# --- tasks ----------------------------------------------------------------------------------------


class TrainingStep(BaseOperator):
    """One step of the training of a model with the data of a day, by `modelsync train`.

    What the command logs is the log of the task, while it runs; its last line, the cause of a
    failure, is the exception of the task. A step that has nothing to do is skipped.
    """

    ui_color = "#e6f0ff"

    def __init__(self, *, model: str, step: str, **options: Any) -> None:
        super().__init__(**options)
        self.model = model
        self.step = step
        self._command: TrainCommand | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the step, and return what the training run has come to.

        Raises AirflowRescheduleException while another process works on the model: that is waited
        for and is no failed try. Raises AirflowFailException where trying again is of no use.
        """
        self._command = TrainCommand(self.model, day(context), self.step)
        self.log.info("$ %s", shlex.join(self._command.words))
        ended = self._command.run(lambda line: self.log.info("%s", line))
        if ended.code == BUSY:
            self.log.info("looking again in %s", WAIT)
            raise AirflowRescheduleException(datetime.now(UTC) + WAIT)
        if ended.code:
            raise (AirflowFailException if ended.is_final else AirflowException)(ended.said)
        if reason := self._nothing_to_do(ended):
            raise AirflowSkipException(reason)
        version = {"version": ended.run.get("version"), "metrics": ended.metrics}
        if self.step == "promote":
            event = context["outlet_events"][model_asset(self.model)]
            event.extra = {**version, "date": day(context)}
        return {**version, "run": ended.run.get("run"), "outcome": ended.outcome}

    def _nothing_to_do(self, ended: Result) -> str:
        """Return why the step is skipped, empty if it is not: only a promotion is an event."""
        if ended.outcome == "unchanged" and self.step not in ("fill", "check"):
            return "the same data and code were trained before"
        if self.step == "promote" and ended.outcome != "promoted":
            return ended.verdict
        return ""

    def on_kill(self) -> None:
        """End the command with the task."""
        if self._command:
            self._command.stop()


def day(context: Any) -> str:
    """Return the day that a DAG run is about, in the time zone of the DAG.

    A run that an asset or a click has started has no logical date: its day is that of its start.
    """
    run = context["dag_run"]
    moment = run.logical_date or run.run_after
    return str(moment.astimezone(context["dag"].timezone).date().isoformat())


def tell_failure(context: Any) -> None:
    """Log in one line what has failed, and send it to the webhook that is set."""
    task = context["task"]
    cause = " ".join(str(context.get("exception") or "the task was lost").split())
    facts = {"model": task.model, "date": day(context), "step": task.step, "cause": cause}
    text = "training of {model} for {date} failed at step {step}: {cause}".format(**facts)
    log.error("%s", text)
    if url := setting("MODELSYNC_AIRFLOW_WEBHOOK"):
        run = {"dag": context["dag"].dag_id, "run": context["dag_run"].run_id}
        body = json.dumps({"text": text, **facts, **run}).encode()
        try:
            headers = {"Content-Type": "application/json"}
            request = urllib.request.Request(url, body, headers)  # noqa: S310 - the operator's
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        except (OSError, ValueError) as error:
            log.error("the webhook was not told: %s", type(error).__name__)  # the URL is a secret


# --- DAGs -----------------------------------------------------------------------------------------


def model_asset(name: str) -> Model:
    """Return the asset that has an event whenever a version of the model is promoted."""
    return Model(name=f"modelsync/{name}", uri=f"modelsync://models/{name}")


def data_asset(name: str) -> Asset:
    """Return the asset whose events start a training of the model."""
    return Asset(name=f"modelsync/data/{name}", uri=f"modelsync://data/{name}")


def schedule(name: str) -> Any:
    """Return when a model is trained: by the clock, and whenever its data asset has an event."""
    cron = setting("MODELSYNC_TRAIN_CRON", "@daily")
    if cron == "off":
        return [data_asset(name)]
    timetable = CronTriggerTimetable(cron, timezone=conf.get("core", "default_timezone"))
    return AssetOrTimeSchedule(timetable=timetable, assets=[data_asset(name)])


def start_of(text: str) -> datetime | None:
    """Return the first day that is caught up, in Airflow's time zone; None for an empty text."""
    return datetime.strptime(text, "%Y-%m-%d") if text else None


def make_dag(model: Trainable) -> DAG:
    """Return the DAG of a model. Its runs go one after another."""
    first = setting_as(start_of, "MODELSYNC_AIRFLOW_START", "", "a day, YYYY-MM-DD")
    with DAG(
        dag_id=f"modelsync_{model.name}",
        schedule=schedule(model.name),
        start_date=first or datetime(2020, 1, 1),
        catchup=bool(first),
        max_active_runs=1,
        tags=["modelsync"],
        doc_md=f"Trains the model `{model.name}` with the data of each day.\n\n{model.doc}",
        default_args={
            "owner": "modelsync",
            "retries": setting_as(int, "MODELSYNC_AIRFLOW_RETRIES", "3", "a whole number"),
            "retry_delay": RETRY_DELAY,
            "retry_exponential_backoff": 2,
            "max_retry_delay": timedelta(hours=1),
            "on_failure_callback": tell_failure,
        },
    ) as dag:
        tasks = [
            TrainingStep(
                task_id=task,
                model=model.name,
                step=step,
                outlets=[model_asset(model.name)] if step == "promote" else [],
            )
            for task, step in STEPS.items()
        ]
        chain(*tasks)
    return dag


_wanted = get_parsing_context().dag_id  # a task needs its own DAG only

for _model in find(models_folder()):
    if _wanted in (None, f"modelsync_{_model.name}"):
        globals()[f"modelsync_{_model.name}"] = make_dag(_model)
