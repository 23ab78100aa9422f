"""`modelsync sync`: one update now, and a signal to the service that runs here."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from modelsync import locks
from modelsync.cli.command import start


@click.command(short_help="Look for a new commit now.")
@click.option("--force", is_flag=True, help="Check and serve the commit again, whatever was found.")
def sync(*, force: bool) -> int:
    """Look for a new commit, check it and publish it into the state directory (MODELSYNC_HOME).

    A running service of the same directory swaps to it. The exit code is 1 if the sync failed; the
    last good release then continues to serve.
    """
    settings = start()
    from modelsync.sync.update import Updater

    outcome = Updater(settings).run(force=force)
    release = outcome.release
    models, broken = len(release.models), len(outcome.faults)
    click.echo(f"{outcome.result}: {release.id}, {models} models, {broken} broken")
    for name, fault in outcome.faults.items():
        click.echo(f"  {name}: {fault}")
    if _signal_service(settings.state.home):
        click.echo("the running service has been signalled")
    return 0


def _signal_service(home: Path) -> bool:
    """Send SIGHUP to the service that serves from this state directory; False if none does."""
    file = home / "run" / "supervisor.pid"
    try:
        number = file.read_text().strip()
        # The supervisor holds the lock as long as it lives, so the number is that of no other
        # process. Without a lock it is one that a crash left behind.
        if number and locks.is_locked(file, exclusively=True):
            os.kill(int(number), signal.SIGHUP)
            return True
    except (OSError, ValueError):
        pass
    return False
