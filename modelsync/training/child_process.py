"""The start of a child of the service that needs its settings: the trainer, the collector."""

from __future__ import annotations

import argparse
import logging
import signal
from collections.abc import Callable, Sequence

from modelsync import orphans, settings
from modelsync.errors import ModelsyncError
from modelsync.observability import logs
from modelsync.settings import Settings
from modelsync.training.stop import Stop

log = logging.getLogger(__name__)


def run(program: str, arguments: Sequence[str], work: Callable[[Settings, Stop], None]) -> int:
    """Do the work of `program` until SIGTERM; end with the process `--parent`.

    Returns the exit code: 2 for an error that is told in the log.
    """
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--parent", type=int)
    given = parser.parse_args(arguments)
    stop = Stop()
    stop.listen()
    if given.parent:
        orphans.end_with_parent(signal.SIGTERM, given.parent)
    try:
        config = settings.load()
        logs.configure(config.logs, secrets=logs.secrets_of(config))
        work(config, stop)
    except ModelsyncError as error:
        log.error("%s", error)
        return 2
    return 0
