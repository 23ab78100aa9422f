"""Reads what a runner tells while it starts (`modelsync.runner.reports`), as its master."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from modelsync import json_text
from modelsync.inference.process_runner import HostedModel, RunnerGroup, described
from modelsync.inference.version_loading import RefusedVersion
from modelsync.models import examples
from modelsync.models.serialization import from_json
from modelsync.models.types import Fault, LoadedModel

LOOK = 0.05
"""Seconds between two looks whether a runner that loads its models has ended."""


class ReportReader:
    """What a runner has told: its `models`, and the `faults` of those that do not load.

    `refused`: versions that should serve, and do not load.

    `loading` is the model whose code runs; `problem` says why that is to blame, empty if the
    process has ended.
    """

    def __init__(self, group: RunnerGroup, on_step: Callable[[], None]) -> None:
        self.models: dict[str, LoadedModel] = {}
        self.faults: dict[str, str] = {}
        self.refused: dict[str, RefusedVersion] = {}
        self.loading = ""
        self.problem = ""
        self.group = group
        self._on_step = on_step

    def read(
        self, pipe: int, has_ended: Callable[[], bool], started: float, timeout: float
    ) -> bool:
        """Read until all models have been reported; false if the runner does not get so far.

        Each step may take `timeout` seconds, the first one since `started`.
        """
        self.models, self.faults, self.problem = {}, {}, ""
        waiting = {str(model.spec.name): model for model in self.group.models}
        self.loading = next(iter(waiting))
        lines = _lines(pipe, has_ended, started, timeout)
        while waiting:
            try:
                values = json_text.loads(next(lines))
            except StopIteration:
                return False
            except TimeoutError:
                self.problem = f"it did not load within {timeout:g} s"
                return False
            self.loading = values.get("loading", self.loading)
            self._on_step()
            if name := values.get("model"):
                self._take(waiting.pop(name), values)
        return True

    def _take(self, hosted: HostedModel, values: dict[str, Any]) -> None:
        """Keep what the runner has reported of a model."""
        name = str(hosted.spec.name)
        if "fault" in values:
            self.faults[name] = str(from_json(Fault, values["fault"]))
            return
        versions = {version.number: version for version in hosted.versions}
        fitted = versions.get(values["version"])
        self.models[name] = model = described(hosted.spec, values, fitted)
        model.call_seconds = (fitted and fitted.call_seconds) or hosted.call_seconds
        if refused := values["refused"]:
            number, reason = refused
            self.refused.setdefault(name, RefusedVersion(versions[number], reason))
        model.examples = examples.read(hosted.spec.path)


def _lines(
    pipe: int, has_ended: Callable[[], bool], started: float, timeout: float
) -> Iterator[bytes]:
    """Yield the lines of a pipe until its writer ends. Raises TimeoutError."""
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        deadline = started + timeout
        while True:
            while b"\n" in buffer:
                line, _, buffer = buffer.partition(b"\n")
                yield line
                deadline = monotonic() + timeout
            if selector.select(LOOK):
                if not (data := os.read(pipe, 65536)):
                    return
                buffer += data
            elif has_ended():  # a process that a model has forked may hold the pipe open
                return
            elif monotonic() > deadline:
                raise TimeoutError
