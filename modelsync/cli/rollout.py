"""`modelsync rollout`: a run, or the follower, as the chart starts them; what people ask of it."""

from __future__ import annotations

import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from modelsync.cli.command import start
from modelsync.errors import ClusterUnreachable, SettingsError

if TYPE_CHECKING:
    from modelsync.settings import Settings

UNKNOWN = 75

_FAILED = {"check", "deadline"}
"""Reasons of a rejection that nobody has asked for."""


@click.command(short_help="Bring a new commit to all pods of a Deployment.")
@click.option(
    "--follow", is_flag=True, help="Go on for ever: look for a commit every MODELSYNC_ROLLOUT_POLL."
)
@click.option("--retry", is_flag=True, help="Try a commit again that was rejected or undone.")
@click.option("--pin", metavar="REF", help="Roll out this branch, tag or hash instead.")
@click.option("--promote", is_flag=True, help="Roll out the commit that the canary serves.")
@click.option("--drop", is_flag=True, help="Take the commit of its ref off the canary.")
@click.option("--status", is_flag=True, help="Show how far it is; change nothing.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with --status.")
def rollout(
    *,
    follow: bool,
    retry: bool,
    pin: str | None,
    promote: bool,
    drop: bool,
    status: bool,
    as_json: bool,
) -> int:
    """Roll out the commit that the ref points to now to all pods of a Kubernetes Deployment, or
    roll it back.

    The commit is checked first. If it breaks a model that is good now, it is rejected, and no pod
    gets it. Otherwise the Deployment is pinned to it and watched; a commit that does not become
    ready in time is rolled back. Both are recorded as Events of the Deployment. If the cause may
    pass, such as a time-out or a database that is away, the commit is tried again by itself, after
    two minutes and then later each time; otherwise not until the ref moves, or by --retry.

    --pin rolls out another commit, by the name of a branch or tag or by its hash, which may be a
    short one. It stays until the ref moves; --retry unpins it.

    Beside the Deployment there may be a canary, which follows MODELSYNC_CANARY_REF. --promote rolls
    its commit out to the Deployment, where it stays until the ref moves; --drop brings the canary
    back to what the Deployment serves, until the canary's ref moves.

    The exit code is 0 if nothing went wrong, 1 if a commit was rejected or rolled back, 2 for a
    wrong setting, and 75 if the repository or the API server could not be reached, or a commit will
    be tried again. A run may end, or be killed, at any time: the next one continues. With --status
    the exit code is 1 if the ref's commit is rejected, or pods do not get ready.

    With --follow it goes on until SIGTERM, and answers at MODELSYNC_PORT: GET and POST
    /<base>/sync, also as webhook of the git host, and /metrics.
    """
    if sum((follow, retry, pin is not None, promote, drop, status)) > 1:
        raise click.UsageError(
            "--follow, --retry, --pin, --promote, --drop and --status exclude each other"
        )
    if as_json and not status:
        raise click.UsageError("--json goes with --status")
    settings = start()
    # As SystemExit, so that the check's children and all temporary folders end with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if follow:
        from modelsync.rollout import follower

        follower.follow(settings)
        return 0
    if status:
        return _show(settings, as_json=as_json)
    return _run(settings, retry=retry, pin=pin, promote=promote, drop=drop)


def _run(settings: Settings, *, retry: bool, pin: str | None, promote: bool, drop: bool) -> int:
    from modelsync.rollout import by_hand, canary, job

    run = canary.run if settings.canary.ref else job.run
    if retry:
        return run(settings, by_hand.retry)
    if pin is not None:
        return run(settings, partial(by_hand.pin, name=pin))
    if promote:
        return run(settings, by_hand.promote)
    return run(settings, by_hand.drop) if drop else run(settings)


def _show(settings: Settings, *, as_json: bool) -> int:
    """Print how far the rollout is. Raises SettingsError."""
    from modelsync.cli.service_client import print_json
    from modelsync.rollout import by_hand
    from modelsync.rollout.report import lines

    if settings.standalone:
        raise SettingsError("gitPath is not set: there is nothing to roll out")
    try:
        found = by_hand.status(settings)
    except ClusterUnreachable as error:
        click.echo(f"modelsync: {error}", err=True)
        return UNKNOWN
    if as_json:
        print_json(found)
    else:
        for line in lines(found):
            click.echo(line)
    rejected = found["rejected"]
    bad = rejected and rejected["commit"] == found["tip"] and rejected["reason"] in _FAILED
    return 1 if bad or found["progress"] == "stuck" else 0
