"""`modelsync serve`: the service itself."""

from __future__ import annotations

import os
from pathlib import Path

import click

from modelsync.cli.command import FOLDER, start
from modelsync.cli.folders import SOURCE


@click.command(short_help="Serve the models of a repository or of a folder.")
@click.argument("path", type=FOLDER, required=False)
@click.option("--host", help="Address to listen on, in place of MODELSYNC_HOST.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on, in place of MODELSYNC_PORT; 0 takes a free one.",
)
@click.option("--watch", is_flag=True, help="Standalone: swap to the new code when a file changes.")
def serve(path: Path | None, host: str | None, port: int | None, *, watch: bool) -> int:
    """Serve the models of the repository gitPath, or of the folder models_serve/ if gitPath is not
    set, or of PATH: a folder of model folders, or one that holds models_serve/.

    The service follows the repository: it checks each new commit, then swaps to it without losing a
    request. SIGHUP asks for a sync now; SIGTERM and Ctrl-C let requests in flight finish.
    """
    # Into the environment, where also every child process finds them.
    given = {"MODELSYNC_HOST": host, "MODELSYNC_PORT": port, "MODELSYNC_MODELS": _models(path)}
    os.environ |= {name: str(value) for name, value in given.items() if value is not None}
    settings = start()
    if path and not settings.standalone:
        raise click.UsageError("PATH is a local folder, but gitPath is set: leave out one of them")
    if watch and not settings.standalone:
        raise click.UsageError("--watch follows a local folder, but gitPath is set")
    from modelsync.cli.announcer import Announcer
    from modelsync.processes import supervisor
    from modelsync.server.aliases import check_aliases

    check_aliases(settings)
    return supervisor.serve(settings, watch=watch, announce=Announcer(settings))


def _models(path: Path | None) -> Path | None:
    """The folder of the model folders that PATH means. Raises UsageError for one model folder."""
    if path is None:
        return None
    if (path / SOURCE).is_file():
        raise click.UsageError(
            f"{path} is one model: serve the folder that holds it, {path.resolve().parent}"
        )
    inner = path / "models_serve"
    return inner if inner.is_dir() else path
