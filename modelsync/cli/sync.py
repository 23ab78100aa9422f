"""`modelsync sync`: one update now, and a signal to the service that runs here."""

from __future__ import annotations

import click

from modelsync.cli import console
from modelsync.cli.command import start
from modelsync.cli.service_client import short


@click.command(short_help="Look for a new commit now.")
@click.option("--force", is_flag=True, help="Check and serve the commit again, whatever was found.")
def sync(*, force: bool) -> int:
    """Look for a new commit, check it and publish it into the state directory (MODELSYNC_HOME).

    A running service of the same directory swaps to it. The exit code is 1 if the sync failed; the
    last good release then continues to serve.
    """
    settings = start()
    from modelsync.releases import owners
    from modelsync.sync.update import Updater

    outcome = Updater(settings).run(force=force)
    release = outcome.release
    models, broken = len(release.models), len(outcome.faults)
    click.echo(f"{outcome.result}: {short(release.id)}, {models} models, {broken} broken")
    for name, fault in outcome.faults.items():
        click.echo(f"  {name}: {console.marked(str(fault), 'red')}")
    if owners.request_sync(settings.state.home):
        click.echo("the running service has been signalled")
    return 0
