"""The command `modelsync`: one verb a command. Everything heavy is imported by the command that
needs it.
"""

from __future__ import annotations

from typing import NoReturn

import click

from modelsync import __version__
from modelsync.cli.call import call
from modelsync.cli.check import check, generate, new
from modelsync.cli.command import Verbs, run, serve, sync, version
from modelsync.cli.rollout import rollout


@click.group(
    cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="modelsync %(version)s")
def cli() -> None:
    """Push a folder, get an endpoint: serves the Python models of a git repository over HTTP.

    A folder with a file etls.py is a model: it answers at POST /models/<folder>. To begin:

    \b
      modelsync new Price                make models_serve/Price from a template
      modelsync check                    load every model here and run its examples
      modelsync serve                    serve them at http://127.0.0.1:8080/models/
      modelsync call Price age=42        ask the service that runs

    Settings, such as the repository to follow (gitPath), are environment variables or lines of a file .env in the
    current directory; env.example and the README list them all.
    """  # noqa: D301 - for click it is the character itself, not an escaped one


for command in (serve, sync, check, generate, new, call, rollout, version):
    cli.add_command(command)


def main(arguments: list[str] | None = None, name: str = "modelsync") -> NoReturn:
    """Run the command line; the process ends with 0, 1 (it did not work) or 2 (it was not asked
    properly).
    """
    run(cli, arguments, name)
