"""Models that run in a runner, a process outside of the workers: what a worker knows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from modelsync import json_text
from modelsync.errors import ModelBroken, RequestError
from modelsync.inference.channel import RunnerChannel
from modelsync.inference.dispatch import DispatchedRunner, Frame
from modelsync.inference.version_loading import RefusedVersion
from modelsync.models.artefact_facts import ArtefactFacts
from modelsync.models.placement import Placement
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import Fault, LoadedModel, ModelSpec
from modelsync.models.versions import FittedVersion
from modelsync.settings.service import Isolation


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A model as its runner gets it; `call_seconds` is what the check has measured.

    `versions`: the fitted versions of which the first that loads serves.
    """

    spec: ModelSpec
    placement: Placement
    call_seconds: float | None = None
    versions: tuple[FittedVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class RunnerGroup:
    """The models of one runner. `environment` is the id of theirs, empty for the service's own."""

    name: str
    environment: str
    models: list[HostedModel] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hosted:
    """What a runner that was started serves: its models, in the order of their numbers.

    `faults` holds the models that it could not load, with the reason; `refused` the versions that
    should serve and did not load.
    """

    channel: RunnerChannel
    numbers: Mapping[str, int]
    models: Mapping[str, LoadedModel]
    faults: Mapping[str, str]
    refused: Mapping[str, RefusedVersion] = field(default_factory=dict)


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
        self._version = model.fitted.number if model.fitted else 0
        if self.replaceable:
            channel.hold((number, self._version), _order(model.fitted))

    def fitted(self, version: FittedVersion | None) -> ProcessRunner:
        """Have the runner load another version, and start it; waits for that. Raises ModelBroken.

        The runner loads it once for all workers.
        """
        name, wanted = self.name, version.number if version else 0
        order = (self._number, wanted)
        try:
            answer = self.channel.load(name, order, _order(version))
        except RequestError as error:
            raise ModelBroken(Fault("load", str(error), transient=True)) from None
        description = json_text.loads(answer)
        if fault := description.get("fault"):
            raise ModelBroken(from_json(Fault, fault))
        model = described(self.model.spec, description, version)
        model.examples = self.model.examples
        known = version.call_seconds if version else None
        model.call_seconds = known or self.model.call_seconds
        return ProcessRunner(model, self.channel, self._number, self.max_waiting)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the event loop of the calling thread to talk to the runner."""
        self.channel.attach(loop)

    def dispatch(self, frame: Frame) -> None:
        """Send a frame to the runner. Raises ModelUnavailable while it is being started."""
        self.channel.send(frame, self._number, self._version)

    def expired(self, frame: Frame) -> None:
        """Do nothing: the runner knows the deadline, and interrupts what is late."""

    def warm_up(self) -> None:
        """Do nothing: the runner has called each model when it loaded it."""

    def close(self) -> None:
        """Let the runner forget this version; the process ends with its master."""
        if self.replaceable:
            self.channel.release((self._number, self._version))


def _order(version: FittedVersion | None) -> bytes:
    """Return the order to load a version, as `runner.versions` reads it."""
    return json_text.dumps({"version": to_json(version) if version else None})


def described(
    spec: ModelSpec, description: Mapping[str, Any], fitted: FittedVersion | None = None
) -> LoadedModel:
    """Return a model of a runner as its `describe` has described it; it cannot be called here."""
    artefact = description["artefact"]
    return LoadedModel(
        spec,
        call=_elsewhere,
        schema=description["schema"],
        doc=description["doc"],
        bind=_elsewhere if description["batches"] else None,
        call_batch=_elsewhere if description["batches"] else None,
        fitted=fitted,
        artefact=from_json(ArtefactFacts, artefact) if artefact else None,
    )


def _elsewhere(_: object) -> NoReturn:
    raise AssertionError("this model runs in another process")


def groups_of(models: list[HostedModel], floor: Isolation) -> list[RunnerGroup]:
    """Divide the models that do not run in the workers into runners."""
    groups: dict[str, RunnerGroup] = {}
    for model in models:
        if name := runner_of(model, floor):
            group = groups.setdefault(name, RunnerGroup(name, model.spec.environment))
            group.models.append(model)
    return list(groups.values())


def runner_of(model: HostedModel, floor: Isolation) -> str:
    """Return the name of the runner that a model runs in; empty if it runs in the workers.

    A model shares one only if the check has found that it could share a worker, too.
    """
    spec, place = model.spec, model.placement.place
    elsewhere = place == "runner" or bool(spec.environment) or floor in ("environment", "model")
    if not elsewhere:
        return ""
    if floor == "model" or place != "worker":
        return str(spec.name)
    return f"the environment {spec.environment[:12]}" if spec.environment else "all models"
