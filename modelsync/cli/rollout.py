"""`modelsync rollout`: one run, as the CronJob of the chart starts it, or the follower."""

from __future__ import annotations

import signal
import sys

import click

from modelsync.cli.command import start
from modelsync.errors import SettingsError

MISSING = "rollout needs the Kubernetes client: pip install 'modelsync[kubernetes]'"


@click.command(short_help="Bring a new commit to all pods of a Deployment.")
@click.option(
    "--follow", is_flag=True, help="Go on for ever: look for a commit every MODELSYNC_ROLLOUT_POLL."
)
def rollout(*, follow: bool) -> int:
    """Roll out the commit that the ref points to now to all pods of a Kubernetes Deployment, or
    roll it back.

    The commit is checked first. If it breaks a model that is good now, it is rejected, and no pod
    gets it. Otherwise the Deployment is pinned to it and watched; a commit that does not become
    ready in time is rolled back. Both are recorded as Events of the Deployment, and neither is
    tried again until the ref moves.

    The exit code is 0 if nothing went wrong, 1 if a commit was rejected or rolled back, 2 for a
    wrong setting, and 75 if the repository or the API server could not be reached. A run may end,
    or be killed, at any time: the next one continues.

    With --follow it goes on until SIGTERM, and answers at MODELSYNC_PORT: GET and POST
    /<base>/sync, also as webhook of the git host, and /metrics.
    """
    settings = start()
    # As SystemExit, so that the check's children and all temporary folders end with this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        if follow:
            from modelsync.rollout import follower

            follower.follow(settings)
            return 0
        from modelsync.rollout import job
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] == "kubernetes":
            raise SettingsError(MISSING) from None
        raise
    return job.run(settings)
