"""Where and how a model is called. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Place = Literal["worker", "thread", "runner"]
"""Where a model runs: in each worker, loaded before the fork; in each worker, loaded after the fork
and always called by the thread that loaded it; in a runner, a process outside the workers.
"""

PLACES: dict[Place, str] = {
    "worker": "the workers",
    "thread": "a thread of its own in each worker",
    "runner": "a runner, a process of its own",
}
"""The places in words."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a version of a model is called so that its answers are right.

    `reason`: why, in words for the model's author; empty for the default place. `hide_loop`: the
    running event loop is hidden during a call, since the model may call `asyncio.run`. `overlaps`:
    calls may run at the same time; where they may not, a lock is held. `main_thread`: only the main
    thread of a process may call it, so in a runner it is never called in another thread.
    """

    place: Place = "worker"
    reason: str = ""
    hide_loop: bool = False
    overlaps: bool = True
    main_thread: bool = False


IN_WORKERS = Placement()
"""Where most models run."""
