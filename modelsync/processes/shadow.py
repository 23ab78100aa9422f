"""The process that copies predictions to a candidate, as the supervisor sees it."""

from __future__ import annotations

from modelsync.orphans import Children
from modelsync.processes.kept_child import KeptChild
from modelsync.settings import Settings

ENDING = 2.0
"""Seconds that it has to write down what it has found; what is under way is given up."""


async def keep_shadow(config: Settings, children: Children) -> None:
    """Keep it running, if there is a candidate, until cancelled."""
    if config.shadow.on:
        module = "modelsync.monitoring.shadow.program"
        name = "the process of shadow requests"
        await KeptChild(children, module, name=name, kind="shadow", grace=ENDING).run()
