"""`modelsync runs`: lists training runs, with what became of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from modelsync.cli import console
from modelsync.cli.command import load_settings

if TYPE_CHECKING:
    from modelsync.store.records import TrainingRun

MOST = 1000
"""How many runs are listed at most."""


@click.command(short_help="List training runs: what each day has brought, why one has failed.")
@click.argument("model", required=False)
@click.option(
    "--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="Only those of this day, YYYY-MM-DD."
)
@click.option("--failed", is_flag=True, help="Only those that have failed.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST),
    default=20,
    show_default=True,
    help="The most that are listed.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with the reports of their checks.")
def runs(
    model: str | None, day: datetime | None, *, failed: bool, limit: int, as_json: bool
) -> None:
    """List the newest training runs, of MODEL or of all models, the newest first."""
    config = load_settings()
    from modelsync import store
    from modelsync.training.run_resource import message, resource

    found = store.open(config).catalog.runs(
        model, day.date() if day else None, limit=limit, state="failed" if failed else None
    )
    if as_json:
        import orjson

        text = orjson.dumps([resource(one) for one in found], option=orjson.OPT_INDENT_2)
        click.echo(text.decode())
        return
    if not found:
        click.echo("there is no such training run yet", err=True)
        return
    now = datetime.now(UTC)
    rows = [
        (
            str(one.number),
            one.model,
            one.date.isoformat(),
            one.trigger,
            one.outcome or one.state,
            "" if one.state == "done" else one.step,
            _took(one, now),
            message(one),
        )
        for one in found
    ]
    header = ("run", "model", "day", "by", "state", "step", "time", "")
    console.table(header, rows, alarming=frozenset({"failed"}))


def _took(run: TrainingRun, now: datetime) -> str:
    if not run.started:
        return "-"
    seconds = ((run.ended or now) - run.started).total_seconds()
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
