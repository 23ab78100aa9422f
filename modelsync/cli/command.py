"""Running the service: serve, sync, version; and how every command starts and fails."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from modelsync import locks
from modelsync.errors import ModelsyncError, SettingsError

if TYPE_CHECKING:
    from modelsync.settings import Settings


class Verbs(click.Group):
    """The group of all commands, listed in the order in which one meets them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the commands in the order in which they were added."""
        return list(self.commands)


def run(group: click.Group, arguments: list[str] | None, name: str) -> NoReturn:
    """Run a command and end the process; an error is one line without a traceback."""
    try:
        code = group.main(arguments, prog_name=name, standalone_mode=False)
    except click.UsageError as error:
        _fail(
            f"{error.format_message()} (try `{error.ctx.command_path if error.ctx else name} --help`)",
            2,
        )
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except SettingsError as error:
        _fail(str(error), 2)
    except ModelsyncError as error:
        _fail(str(error), 1)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"modelsync: {' '.join(message.split())}", err=True)
    sys.exit(code)


def load_settings() -> Settings:
    """Read the settings, `.env` of the current directory included; what the environment sets
    already wins.

    Raises SettingsError.
    """
    from modelsync import settings

    settings.load_file()
    return settings.load()


def start() -> Settings:
    """Read the settings and configure logging, for the commands that log."""
    from modelsync.observability import logs

    settings = load_settings()
    logs.configure(settings.logs, secrets=logs.secrets_of(settings))
    return settings


@click.command(short_help="Serve the models of a repository or of a folder.")
@click.option("--watch", is_flag=True, help="Standalone: swap to the new code when a file changes.")
def serve(watch: bool) -> int:
    """Serve the models of the repository that the setting gitPath names, or of the folder
    models_serve/ without one.

    The repository is followed: what is pushed is checked, and serves without a request being lost.
    SIGHUP asks for a sync now; SIGTERM and Ctrl-C let requests in flight finish.
    """
    settings = start()
    if watch and not settings.standalone:
        raise click.UsageError("--watch follows a local folder, but gitPath is set")
    from modelsync.cli.announcer import Announcer
    from modelsync.processes import supervisor

    return supervisor.serve(settings, watch=watch, announce=Announcer(settings))


@click.command(short_help="Look for a new commit now.")
def sync() -> int:
    """Look for a new commit, check it and publish it into the state directory (MODELSYNC_HOME).

    A service that runs from the same directory swaps to it. The exit code is 1 if the sync failed;
    what serves then stays as it is.
    """
    settings = start()
    from modelsync.sync.update import Updater

    outcome = Updater(settings).run()
    release = outcome.release
    click.echo(
        f"{outcome.result}: {release.id}, {len(release.models)} models, {len(outcome.faults)} broken"
    )
    for name, fault in outcome.faults.items():
        click.echo(f"  {name}: {fault}")
    if _tell_running(settings.state.home):
        click.echo("the service that runs here was told")
    return 0


def _tell_running(home: Path) -> bool:
    """Have the service that serves from this state directory look at it, by SIGHUP; False where
    none does.
    """
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


@click.command(short_help="Tell the versions, for a bug report.")
def version() -> None:
    """Tell the versions of modelsync, Python and what matters in a bug report."""
    import platform
    from importlib import metadata

    from modelsync import __version__

    parts = [
        f"{name} {metadata.version(name)}" for name in ("gunicorn", "flask", "uvloop", "pydantic")
    ]
    click.echo(f"modelsync {__version__} (Python {platform.python_version()}, {', '.join(parts)})")
