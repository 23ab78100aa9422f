"""The list of the patches that a process which runs models installs, before it loads the first one.

Such processes are a generation's master and workers, and the check. The patches stay until the end
of the process. Installing them again, as a worker does after the fork, changes only what is new.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelsync.models.isolation import (
    event_loops,
    fork_guard,
    guards,
    import_hooks,
    ports,
    process_state,
    spawned,
    timers,
)


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of the interpreter: what it changes, why, and the function that makes it."""

    name: str
    reason: str
    install: Callable[[], None]


PATCHES: tuple[Patch, ...] = (
    Patch(
        "sys.stdout and sys.stderr write whole lines",
        "what a model prints stands beside the log lines of its time, not hours later",
        guards.buffer_lines,
    ),
    Patch(
        "sys.stdout and sys.stderr cannot be closed",
        "a model that closes them would silence the log and every other model",
        process_state.protect_streams,
    ),
    Patch(
        "os.close and os.closerange keep descriptors 0, 1 and 2",
        "the kernel would give their numbers to the next connection of a client",
        guards.protect_descriptors,
    ),
    Patch(
        "os.chdir and os.fchdir record the change",
        "each call ends in the same directory, and costs no system call if none has changed it",
        guards.track_cwd,
    ),
    Patch(
        "signal.alarm, setitimer and the handlers of their signals end with the call",
        "the alarm of one model would interrupt another, or end the process",
        timers.install,
    ),
    Patch(
        "a process that a model forks loses the signals, sockets and pipes of the service",
        "it would wake the event loop, swallow SIGTERM, hold the port and answer clients",
        fork_guard.install,
    ),
    Patch(
        "socket.bind shares TCP ports",
        "the old and the new version of a model that listens on a port run side by side",
        ports.install,
    ),
    Patch(
        "shared modules keep their functions",
        "`json.dumps = ...` in one model would reach every other one and the server",
        guards.protect_modules,
    ),
    Patch(
        "asyncio.get_event_loop makes a loop in each thread",
        "models are called in other threads than the main one, where it does so in a script",
        event_loops.install,
    ),
    Patch(
        "sys.meta_path finds the packages of models, importlib.import_module those of a caller",
        "two models may have a helpers.py each, which no library ever sees",
        import_hooks.install,
    ),
    Patch(
        "multiprocessing tells new interpreters where the packages of models are",
        "a process that is spawned, not forked, could not import the function that it runs",
        spawned.install,
    ),
)


def install() -> None:
    """Install every patch of the list."""
    for patch in PATCHES:
        patch.install()
