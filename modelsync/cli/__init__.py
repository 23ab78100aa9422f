"""The command `modelsync`: one file per verb. A verb imports heavy modules only when it runs."""

from __future__ import annotations

from typing import NoReturn

import click

from modelsync import __version__
from modelsync.cli.call import call
from modelsync.cli.check import check
from modelsync.cli.command import Verbs, run
from modelsync.cli.environments import environments
from modelsync.cli.generate import generate
from modelsync.cli.job import job
from modelsync.cli.list import list_models
from modelsync.cli.new import new
from modelsync.cli.open import open_page
from modelsync.cli.rollout import rollout
from modelsync.cli.runs import runs
from modelsync.cli.schema import schema
from modelsync.cli.serve import serve
from modelsync.cli.status import status
from modelsync.cli.sync import sync
from modelsync.cli.train import train
from modelsync.cli.version import version


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
      modelsync call Price age=42        ask the running service

    Settings, such as the repository to follow (gitPath), are environment variables or lines of a
    file .env in the current directory; env.example and the README list them all.
    """  # noqa: D301 - for click it is the character itself, not an escaped one


for command in (
    serve,
    sync,
    check,
    environments,
    generate,
    new,
    call,
    status,
    list_models,
    open_page,
    schema,
    train,
    runs,
    job,
    rollout,
    version,
):
    cli.add_command(command)


def main(arguments: list[str] | None = None, name: str = "modelsync") -> NoReturn:
    """Run the command line and end the process, with an exit code as `command.run` says."""
    run(cli, arguments, name)
