"""`modelsync job`: runs a job, lists jobs, shows one and its log, cancels it."""

from __future__ import annotations

import logging
import os
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from modelsync.cli import console
from modelsync.cli.command import Verbs, load_settings, start

if TYPE_CHECKING:
    from modelsync.store.records import Job

NOT_RUN = 75
"""Exit code of `run` if the job is not to be run now, or waits to be run again."""

POLL = 1.0
"""Seconds between two looks at a log that is followed."""


@click.group(cls=Verbs, short_help="Run, list, show and cancel the jobs that fit models.")
def job() -> None:
    """The jobs that fit, train and update models. `modelsync serve` runs them by itself."""


@job.command(short_help="Run a queued job in this process.")
@click.argument("job_id", metavar="ID")
@click.option("--parent", type=int, hidden=True, help="End with this process, which is the parent.")
def run(job_id: str, parent: int | None) -> int:
    """Run the queued job ID to its end. Where no release is, its commit is fetched first.

    The exit code is 0 if the job is done, 1 if it has failed, was cancelled or lost, and 75 if it
    is not to be run now: another process runs it or another job of its model, or it waits to be run
    again since this process was ended.
    """
    from modelsync import orphans, store
    from modelsync.errors import StoreUnavailable
    from modelsync.training.job import JobRun
    from modelsync.training.stop import Stop

    stop = Stop()
    stop.listen()
    if parent:
        orphans.end_with_parent(signal.SIGTERM, parent)
    config = start()
    os.nice(config.training.nice)
    try:
        state = JobRun(config, store.open(config), job_id, stop).run()
    except StoreUnavailable as error:
        click.echo(f"modelsync: {error}", err=True)
        return NOT_RUN
    except Exception:
        logging.getLogger("modelsync.cli.job").exception("job %s: unexpected", job_id)
        return 3
    if state in (None, "queued", "running"):
        return NOT_RUN
    return 0 if state == "done" else 1


@job.command(short_help="Start queued jobs as Jobs of a Kubernetes cluster.")
def dispatch() -> int:
    """Start queued jobs as Jobs of the cluster, and notice how they end, until SIGTERM.

    With MODELSYNC_JOBS=kubernetes; the chart runs it in a pod of its own.
    """
    from modelsync.training import dispatcher
    from modelsync.training.stop import Stop

    stop = Stop()
    stop.listen()
    dispatcher.serve(start(), stop)
    return 0


@job.command("list", short_help="List the newest jobs.")
@click.argument("model", required=False)
@click.option("--live", is_flag=True, help="Only those that are queued or run.")
@click.option("--limit", default=20, show_default=True, help="The most that are listed.")
def list_(model: str | None, *, live: bool, limit: int) -> None:
    """List the newest jobs, of MODEL or of all models, the newest first."""
    config = load_settings()
    from modelsync import store

    found = store.open(config).catalog.jobs(model, limit=limit, live=live)
    now = datetime.now(UTC)
    rows = [
        (
            one.id,
            one.model,
            one.asked.kind,
            str(one.number),
            _state(one),
            _took(one, now),
            _why(one),
        )
        for one in found
    ]
    header = ("job", "model", "kind", "version", "state", "time", "")
    console.table(header, rows, alarming=frozenset({"failed", "lost"}))


@job.command(short_help="Show all that is known of a job.")
@click.argument("job_id", metavar="ID")
def show(job_id: str) -> None:
    """Show the job ID as JSON, as `GET /<base>/<Model>/jobs/<ID>` answers it."""
    config = load_settings()
    import orjson

    from modelsync import store
    from modelsync.training.operation import operation

    catalog = store.open(config).catalog
    found = catalog.job(None, job_id)
    version = catalog.version(found.model, f"v{found.number}") if found.state == "done" else None
    text = orjson.dumps(operation(found, version), option=orjson.OPT_INDENT_2)
    click.echo(text.decode())


@job.command(short_help="Show what a job has printed.")
@click.argument("job_id", metavar="ID")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
def log(job_id: str, *, follow: bool) -> None:
    """Show the log of the job ID: what the model's code has printed and logged."""
    config = load_settings()
    from modelsync import store

    catalog = store.open(config).catalog
    offset = 0
    while True:
        ended = catalog.job(None, job_id).final
        text, offset = catalog.read_log(job_id, offset)
        click.echo(text, nl=False)
        if ended or not follow:
            return
        time.sleep(POLL)


@job.command(short_help="Cancel a job.")
@click.argument("job_id", metavar="ID")
def cancel(job_id: str) -> int:
    """Cancel the job ID. One that runs ends within some seconds.

    The exit code is 1 if it had ended before.
    """
    config = load_settings()
    from modelsync import store

    catalog = store.open(config).catalog
    before = catalog.job(None, job_id)
    found = catalog.cancel(before.model, job_id)
    click.echo(_state(found))
    return 1 if before.final else 0


def _state(one: Job) -> str:
    if one.cancelling and not one.final:
        return "cancelling"
    if one.state == "running" and one.progress is not None:
        return f"running {one.progress:.0%}"
    return one.state


def _took(one: Job, now: datetime) -> str:
    if not one.started:
        return "-"
    seconds = ((one.ended or now) - one.started).total_seconds()
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _why(one: Job) -> str:
    return str(one.error.get("message", "")) if one.error else one.verdict or one.message
