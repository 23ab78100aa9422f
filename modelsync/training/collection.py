"""Starts the collector of samples, a child, when there is something for it to do."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from datetime import datetime
from importlib.util import find_spec
from math import inf
from pathlib import Path

from modelsync.files import listed
from modelsync.inference.sampling import SPOOL, SUFFIX
from modelsync.observability.logs import event
from modelsync.orphans import Children
from modelsync.resources import starting
from modelsync.store.catalog import Catalog

log = logging.getLogger(__name__)

LOOK = 5.0
"""Seconds between two looks."""

AGAIN = 60.0
"""Seconds before a collector that has failed is started again."""

MODULE = "modelsync.monitoring.collector"
"""Started by name: it loads Arrow, numpy and SciPy, and stands above this layer."""


class Collection:
    """The collector of one state directory. It ends by itself when there is nothing to do."""

    def __init__(self, home: Path, catalog: Catalog, children: Children) -> None:
        self._spool = home / SPOOL
        self._catalog = catalog
        self._children = children
        self._process: subprocess.Popen[bytes] | None = None
        self._told: datetime | None = None
        self._not_before = 0.0

    def step(self, now: float) -> None:
        """Start it if it is needed and does not run.

        Raises StoreUnavailable, ResourcesExhausted.
        """
        if self._process and self._process.poll() is not None:
            self._children.forget(self._process.pid)
            if code := self._process.returncode:
                self._not_before = now + AGAIN
                said = f"the collector of samples has ended with {code}, and is started again"
                event(log, logging.ERROR, said, event="collector")
            self._process = None
        if self._process or now < self._not_before:
            return
        told = self._catalog.last_truth()
        if (told != self._told or self._has_samples()) and self._is_possible():
            self._told = told  # what is told later may come too late for it
            self._start()

    def _is_possible(self) -> bool:
        """Whether its library is here; else it is said once."""
        if find_spec("pyarrow"):
            return True
        self._not_before = inf
        said = "samples of requests are not collected without pyarrow: install modelsync[data]"
        event(log, logging.ERROR, said, event="collector")
        return False

    def _has_samples(self) -> bool:
        waiting = any(name.endswith(SUFFIX) for name in listed(self._spool))
        return waiting or bool(listed(self._spool.with_name("taken")))

    def _start(self) -> None:
        with starting("the collector of samples"), self._children.starting():
            self._process = subprocess.Popen(
                [sys.executable, "-m", MODULE, f"--parent={os.getpid()}"],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._children.add(self._process.pid)

    def stop(self, grace: float) -> None:
        """The service ends: what it has not done, the next one does."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(grace)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
