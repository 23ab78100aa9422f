"""The interface of runners: one model with one fitted version, ready to be called somewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod

from modelsync.extension_types import mypyc_attr
from modelsync.inference.latency import LatencyTracker
from modelsync.inference.version_loading import RefusedVersion
from modelsync.models.types import LoadedModel
from modelsync.models.versions import FittedVersion

RawOutcome = bytes | BaseException
"""The encoded result of one request, or the exception of the model, its validator or its result."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ModelRunner(ABC):
    """One model with one fitted version, ready to be called.

    `model` describes it: schema, examples and version. `latency` says whether an event loop may
    call it. `refused`: the version that should be called in place of this one.
    """

    refused: RefusedVersion | None = None

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self.latency = LatencyTracker(None, allowed=False)
        self.replaceable = model.spec.trainable
        self.name = str(model.name)

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer that is called elsewhere than in an event loop."""
        return False

    @abstractmethod
    def fitted(self, version: FittedVersion | None) -> ModelRunner:
        """Load another fitted version of the same model, None for none, beside this one.

        It is loaded where the model runs; `warm_up` starts it. Raises ModelBroken.
        """

    @property
    def loading_since(self) -> float:
        """When this process began to load the model in `warm_up`, in seconds of `monotonic`.

        Infinite while it waits for other models' loads; 0 if it was loaded before.
        """
        return 0.0

    @abstractmethod
    def warm_up(self) -> None:
        """Start the model in this process and call it with its first example.

        Called once in each process that serves, after the fork, so that no client waits for a cold
        start. Raises ModelBroken if the model cannot be called; it may be called again then.
        """

    def stop(self) -> None:  # noqa: B027  most have nothing to do
        """Have the model stop, since the process ends; it must not be called afterwards."""

    @abstractmethod
    def close(self) -> None:
        """Free the resources of the model; it must not be called afterwards."""
