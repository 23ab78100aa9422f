"""`modelsync sync`: one update now, and a signal to the service that runs here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from modelsync.cli import console
from modelsync.cli.command import start
from modelsync.cli.service_client import ServiceClient, short
from modelsync.errors import SettingsError

if TYPE_CHECKING:
    from modelsync.releases.store import Release
    from modelsync.settings import Settings

TURN = 0.2
"""Seconds between two looks at what the service serves."""


@click.command(short_help="Look for a new commit now.")
@click.option("--force", is_flag=True, help="Check and serve the commit again, whatever was found.")
@click.option("--wait", is_flag=True, help="Wait until the service that runs here serves it.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds to wait, with --wait.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if any model is broken.")
def sync(*, force: bool, wait: bool, timeout: float, strict: bool) -> int:
    """Look for a new commit, check it and publish it into the state directory (MODELSYNC_HOME).

    A running service of the same directory swaps to it; give the command the settings of that
    service. The exit code is 1 if the sync failed; the last good release then continues to serve.
    """
    settings = start()
    from modelsync.releases import owners
    from modelsync.sync.update import Updater

    _refuse_another_source(settings)
    outcome = Updater(settings).run(force=force)
    release, broken = outcome.release, len(outcome.faults)
    click.echo(
        f"{outcome.told}: {short(release.id)}, {len(release.models)} models, {broken} broken"
    )
    for name, fault in outcome.faults.items():
        click.echo(f"  {name}: {console.marked(str(fault), 'red')}")
    if owners.request_sync(settings.state.home):
        click.echo("the running service has been signalled")
        if wait:
            _wait_for(release, settings, timeout)
            click.echo("it serves the release")
    elif wait:
        raise click.ClickException(
            "no service runs from this state directory: start one, or leave out --wait"
        )
    return 1 if strict and broken else 0


def _refuse_another_source(settings: Settings) -> None:
    """Raise SettingsError if the service that runs here follows another source than the settings
    name, as in a second terminal that lacks `gitPath`.

    A release of another source between two of its own would take the previous versions of broken
    models from it.
    """
    from modelsync.releases import owners
    from modelsync.sync import sources

    followed = owners.source_of_supervisor(settings.state.home)
    if followed and followed != sources.name_of(sources.source_of(settings)):
        kind, _, origin = followed.partition(" ")
        theirs = "a local folder" if kind == "folder" else origin
        ours = f"the folder {settings.state.models}" if settings.standalone else "gitPath"
        raise SettingsError(
            f"the service that runs here serves {theirs}, and the settings of this command name "
            f"{ours}: set what it was started with, best in .env, which both read"
        )


def _wait_for(release: Release, settings: Settings, timeout: float) -> None:
    """Wait until the running service serves a release. Raises ClickException if it does not."""
    from modelsync.releases.store import Releases
    from modelsync.sync.status import read_status

    service = ServiceClient.of(settings, None, None, timeout)
    deadline = time.monotonic() + timeout
    while service.overview()["release"] != release.commit:
        if Releases(settings.state.home).current_id() != release.id:
            why = read_status(settings.state.home).message
            raise click.ClickException(f"the service has not taken the release: {why}")
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"the service does not serve it within {timeout:g} s; its log says why"
            )
        time.sleep(TURN)
