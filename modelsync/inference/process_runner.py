"""Models that run in a runner, a process outside of the workers: what a worker knows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from modelsync.inference.channel import RunnerChannel
from modelsync.inference.dispatch import DispatchedRunner, Frame
from modelsync.models.types import LoadedModel, ModelSpec, Placement


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A model as its runner gets it; `call_seconds` is what the check has measured."""

    spec: ModelSpec
    placement: Placement
    call_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunnerGroup:
    """The models of one runner. `environment` is the id of theirs, empty for the service's own."""

    name: str
    environment: str
    models: list[HostedModel] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hosted:
    """What a runner that was started serves: its models, in the order of their numbers.

    `faults` holds the models that it could not load, with the reason.
    """

    channel: RunnerChannel
    numbers: Mapping[str, int]
    models: Mapping[str, LoadedModel]
    faults: Mapping[str, str]


class RunnerHost(Protocol):
    """Starts runners, and keeps them running."""

    def start(self, groups: Sequence[RunnerGroup]) -> None:
        """Start a runner for each group; does not wait."""

    def hosted(self, on_step: Callable[[], None]) -> Sequence[Hosted]:
        """Wait until every runner has loaded its models, or has failed to.

        `on_step` is called whenever that has come further, each time after the time of one model
        at most.
        """


class ProcessRunner(DispatchedRunner):
    """A model in a runner, which is at the other end of `channel`; `number` is its place there."""

    explains = True

    def __init__(
        self, model: LoadedModel, channel: RunnerChannel, number: int, max_waiting: int
    ) -> None:
        super().__init__(model)
        self.max_waiting = max_waiting
        self.channel = channel
        self._number = number

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the event loop of the calling thread to talk to the runner."""
        self.channel.attach(loop)

    def dispatch(self, frame: Frame) -> None:
        """Send a frame to the runner. Raises ModelUnavailable while it is being started."""
        self.channel.send(frame, self._number)

    def expired(self, frame: Frame) -> None:
        """Do nothing: the runner knows the deadline, and interrupts what is late."""

    def warm_up(self) -> None:
        """Do nothing: the runner has called each model when it loaded it."""

    def close(self) -> None:
        """Do nothing: the process ends with its master."""


def described(spec: ModelSpec, description: Mapping[str, Any]) -> LoadedModel:
    """Return a model of a runner as its `describe` has described it; it cannot be called here."""
    return LoadedModel(
        spec,
        call=_elsewhere,
        schema=description["schema"],
        doc=description["doc"],
        bind=_elsewhere if description["batches"] else None,
        call_batch=_elsewhere if description["batches"] else None,
    )


def _elsewhere(_: object) -> NoReturn:
    raise AssertionError("this model runs in another process")
