"""Compiles what a sync had no time for, once its release serves.

The supervisor runs it as `python -m modelsync.sync.late_compiling`, in a process of its own with
the lowest priority. It writes into the store of compiled models alone; the next update publishes
what it finds there.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Sequence

from modelsync import orphans, settings
from modelsync.environments.builder import Builder
from modelsync.errors import ModelsyncError
from modelsync.observability import logs
from modelsync.observability.logs import event
from modelsync.releases.store import Releases
from modelsync.settings import Settings
from modelsync.sync import sources
from modelsync.sync.compiling import ModelCompiling

NICE = 10
"""What serves comes first."""

NOTHING = 3
"""Exit code if there is nothing new to publish."""

log = logging.getLogger("modelsync.sync.late_compiling")  # also when it runs as __main__


def compile_late(config: Settings) -> int:
    """Compile the late models of the current release; return of how many the store knows now what
    came of it.

    Raises StorageFailed, OSError.
    """
    release = sources.current(config)
    if release is None:
        return 0
    Releases(config.state.home).hold(release)
    found = ModelCompiling(config, Builder.of(config).environments).compile_late(release)
    count = sum(one.state == "compiled" for one in found.values())
    if found:
        text = f"compiled later: {count} of {len(found)} estimators"
        event(log, logging.INFO, text, event="compiled", models=count, tried=len(found))
    return len(found)


def main(arguments: Sequence[str] = ()) -> int:
    """Compile, and end with the process `--parent`. Returns 0 if a sync has something to publish,
    else `NOTHING`.
    """
    parser = argparse.ArgumentParser(prog="modelsync.sync.late_compiling")
    parser.add_argument("--parent", type=int)
    given = parser.parse_args(arguments)
    # As an exception, so that children and temporary folders are removed before the process ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if given.parent:
        orphans.end_with_parent(signal.SIGTERM, given.parent)
    try:
        config = settings.load()
        logs.configure(config.logs, secrets=logs.secrets_of(config))
        os.nice(NICE)
        return 0 if compile_late(config) else NOTHING
    except (ModelsyncError, OSError) as error:
        log.error("%s", error)
        return NOTHING
    except Exception:  # the edge of the process
        log.exception("unexpected")
        return NOTHING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
