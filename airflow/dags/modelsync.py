"""Airflow DAGs that train the models of modelsync: one of each model that can be trained by itself.

Each task runs one step of `modelsync train`, which runs in an environment of its own. So neither
modelsync nor a library of a model is imported here: the folders are parsed and never run, in
milliseconds. All settings are environment variables, which README.md beside this folder lists.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
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

WRONG_USE = (2, 126, 127)
"""Exit codes where trying again is of no use: a wrong setting, and no such command."""

BUSY = 75
"""Exit code of `modelsync train` if another process works on the model, or ends it."""


# --- settings -------------------------------------------------------------------------------------


def setting(name: str, default: str = "") -> str:
    """Return a variable of the environment; one that is empty counts as unset."""
    return os.environ.get(name) or default


FOLDER = Path(setting("MODELSYNC_AIRFLOW_FOLDER", str(Path(__file__).resolve().parents[2])))
"""Where the command runs: paths in its settings start here, and it reads the file .env here."""

RETRY_DELAY = timedelta(seconds=float(setting("MODELSYNC_AIRFLOW_RETRY_DELAY", "60")))


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
        self._process: subprocess.Popen[str] | None = None

    def execute(self, context: Any) -> dict[str, Any]:
        """Run the step, and return what the training run has come to.

        Raises AirflowRescheduleException while another process works on the model: that is waited
        for and is no failed try. Raises AirflowFailException where trying again is of no use.
        """
        code, said, run = self._run(day(context))
        if code == BUSY:
            self.log.info("looking again in %s", wait())
            raise AirflowRescheduleException(datetime.now(UTC) + wait())
        if code in WRONG_USE or (run.get("error") or {}).get("report"):
            raise AirflowFailException(said)
        if code:
            raise AirflowException(said)
        if reason := self._nothing_to_do(run, said):
            raise AirflowSkipException(reason)
        known = {"version": run.get("version"), "metrics": metrics(run), "date": day(context)}
        if self.step == "promote":
            context["outlet_events"][model_asset(self.model)].extra = known
        return {**known, "run": run.get("run"), "outcome": run.get("outcome")}

    def _nothing_to_do(self, run: dict[str, Any], said: str) -> str:
        """Return why the step is skipped, empty if it is not: only a promotion is an event."""
        if run.get("outcome") == "unchanged" and self.step not in ("fill", "check"):
            return "the same data and code were trained before"
        if self.step == "promote" and run.get("outcome") != "promoted":
            return (run.get("comparison") or {}).get("verdict") or said
        return ""

    def on_kill(self) -> None:
        """End the command with the task."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    def _run(self, date: str) -> tuple[int, str, dict[str, Any]]:
        """Return the exit code, what was said last, and what the training run has come to."""
        command = shlex.split(setting("MODELSYNC_AIRFLOW_COMMAND", "modelsync"))
        command += ["train", self.model, "--date", date, "--step", self.step]
        command += ["--trigger", "airflow", "--json"]
        self.log.info("$ %s", shlex.join(command))
        self._process = start(command)
        said, run = "", dict[str, Any]()
        for line in self._process.stdout or ():
            event = parsed(line)
            run = event if "state" in event else run
            if text := str(event.get("message", "") if event else line.rstrip()):
                self.log.info("%s", text)
                said = text.removeprefix("modelsync: ")
        code = self._process.wait()
        if code < 0:
            said = f"the command was ended by {signal.Signals(-code).name}"
        elif code and run.get("error"):
            said = run["error"]["message"].removeprefix(f"{self.step}: ")
        return code, said or f"the command ended with code {code}", run


def start(command: list[str]) -> subprocess.Popen[str]:
    """Start a command whose output is read line by line. Raises AirflowFailException."""
    try:
        return subprocess.Popen(
            [*leash(), *command],
            cwd=FOLDER,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise AirflowFailException(
            f"{command[0]} cannot be run in {FOLDER}: {error.strerror}; "
            "set MODELSYNC_AIRFLOW_COMMAND and MODELSYNC_AIRFLOW_FOLDER"
        ) from None


def wait() -> timedelta:
    """Return how long a task waits for another process that works on its model."""
    return min(timedelta(seconds=30), RETRY_DELAY)


def leash() -> Sequence[str]:
    """Return the words that make the kernel end a command with the process that has started it."""
    return ("setpriv", "--pdeathsig", "TERM") if shutil.which("setpriv") else ()


def environment() -> dict[str, str]:
    """Return the environment of the command: modelsync's settings, without those of Airflow, which
    hold secrets, and of this file, which modelsync does not know.
    """
    ours = ("AIRFLOW__", "MODELSYNC_AIRFLOW_")
    own = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return {"MODELSYNC_LOG_FORMAT": "text", **own}


def parsed(line: str) -> dict[str, Any]:
    """Return an object that the command has printed; empty for any other line."""
    with suppress(ValueError):
        found = json.loads(line)
        return found if isinstance(found, dict) else {}
    return {}


def metrics(run: dict[str, Any]) -> dict[str, Any]:
    """Return what the new version has reached with the rows that were held out."""
    return (run.get("comparison") or {}).get("new") or {}


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


def make_dag(model: Trainable) -> DAG:
    """Return the DAG of a model. Its runs go one after another."""
    first = setting("MODELSYNC_AIRFLOW_START")
    with DAG(
        dag_id=f"modelsync_{model.name}",
        schedule=schedule(model.name),
        start_date=datetime.fromisoformat(first or "2020-01-01"),
        catchup=bool(first),
        max_active_runs=1,
        tags=["modelsync"],
        doc_md=f"Trains the model `{model.name}` with the data of each day.\n\n{model.doc}",
        default_args={
            "owner": "modelsync",
            "retries": int(setting("MODELSYNC_AIRFLOW_RETRIES", "3")),
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
