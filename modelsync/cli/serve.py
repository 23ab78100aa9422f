"""`modelsync serve`: the service itself."""

from __future__ import annotations

import click

from modelsync.cli.command import start


@click.command(short_help="Serve the models of a repository or of a folder.")
@click.option("--watch", is_flag=True, help="Standalone: swap to the new code when a file changes.")
def serve(watch: bool) -> int:
    """Serve the models of the repository gitPath, or of the folder models_serve/ if gitPath is not
    set.

    The service follows the repository: it checks each new commit, then swaps to it without losing a
    request. SIGHUP asks for a sync now; SIGTERM and Ctrl-C let requests in flight finish.
    """
    settings = start()
    if watch and not settings.standalone:
        raise click.UsageError("--watch follows a local folder, but gitPath is set")
    from modelsync.cli.announcer import Announcer
    from modelsync.processes import supervisor
    from modelsync.server.aliases import check_aliases

    check_aliases(settings)
    return supervisor.serve(settings, watch=watch, announce=Announcer(settings))
