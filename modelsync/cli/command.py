"""Start and failure of every command: settings, logging, exit codes, one-line errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from modelsync.cli.console import styled
from modelsync.errors import ModelsyncError, SettingsError

if TYPE_CHECKING:
    from modelsync.settings import Settings


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
"""The type of an argument that is an existing folder."""


class Verbs(click.Group):
    """The group of all commands. `--help` lists them in the order of the README."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added; click would sort them by name."""
        return list(self.commands)


def run(group: click.Group, arguments: list[str] | None, name: str) -> NoReturn:
    """Run a command and end the process; an error is one line without a traceback.

    Exit codes: 0; 1 for a failure; 2 for a wrong command line or setting; 130 (128 + SIGINT) for
    Ctrl-C; or the number that the command returns.
    """
    try:
        code = group.main(arguments, prog_name=name, standalone_mode=False)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else name
        _fail(f"{error.format_message()} (try `{command} --help`)", 2)
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
    click.echo(styled(f"modelsync: {' '.join(message.split())}", "red"), err=True)
    sys.exit(code)


def load_settings() -> Settings:
    """Read the settings from the environment, and those it does not set from `.env`.

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
