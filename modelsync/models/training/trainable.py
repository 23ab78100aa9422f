"""Trains a loaded model: calls its `fit`, `train`, `update`, `metrics` and `accept`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from typing import Any

from modelsync import json_text
from modelsync.errors import JobFailed, NotTrainable
from modelsync.models import results
from modelsync.models.binding import calls
from modelsync.models.binding.checked import by_schema
from modelsync.models.convention import METHOD
from modelsync.models.tables import schema
from modelsync.models.training import estimates, partial_fit, predictions, restoring, signatures
from modelsync.models.training.data import Data
from modelsync.models.training.restoring import give, model_of
from modelsync.models.types import LoadedModel
from modelsync.models.versions import TableSchema

MANUAL = "manual"
"""The value of the class attribute `promote` with which new versions wait to be promoted."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training has given. `model` is what is stored, and given back as `self.model`.

    `metrics`: numbers by name, as JSON types. `inputs`: the data that it was fitted with, None if
    nothing is known of that.
    """

    model: Any
    metrics: dict[str, Any] = field(default_factory=dict)
    inputs: TableSchema | None = None


class Trainable:
    """The training methods of a loaded model.

    All raise NotTrainable if the class lacks the method, DataInvalid for data and parameters that
    do not fit, JobFailed for a method that gives nothing to store, and else what the model's code
    raises. `x` and `y` are tables, or what a library holds: a DataFrame and a Series, arrays.

    `on_progress` gets what a method that is a generator yields; what that returns is its result.
    `measures`: the class's `metrics` is called with the data of the fit.
    """

    def __init__(
        self,
        model: LoadedModel,
        on_progress: Callable[[Any], None] = lambda progress: None,
        *,
        measures: bool = True,
    ) -> None:
        self._measures = measures
        self._model = model
        self._on_progress = on_progress
        self._instance = model.instance
        self._inputs = model.fitted.inputs if model.fitted else None
        self._methods: dict[str, signatures.DataMethod] = {}

    @property
    def model(self) -> LoadedModel:
        """The loaded model."""
        return self._model

    @property
    def inputs(self) -> TableSchema | None:
        """The columns that it was fitted with; None if nothing is known of them."""
        return self._inputs

    @property
    def promote(self) -> bool:
        """Whether a new version becomes current by itself."""
        return getattr(self._instance, "promote", "") != MANUAL

    @property
    def serializer(self) -> str:
        """The format that the class asks for; empty if it does not."""
        wanted = getattr(self._instance, "serializer", "")
        return wanted if isinstance(wanted, str) else ""

    def fit(self, x: Any, y: Any = None, params: Mapping[str, Any] | None = None) -> Fitted:
        """Fit anew, with the parameters of the request."""
        self._need("fit", "it cannot be fitted with data", ("GET", "POST", "PUT", "DELETE"))
        data = Data.of(x, y)
        method = self._method("fit")
        return self._done("fit", lambda: data.call(method, dict(params or {})), data)

    @property
    def trains_on_data(self) -> bool:
        """Whether the model's own `train` takes the rows of its source."""
        return signatures.takes_rows(self._instance)

    def train(
        self, params: Mapping[str, Any] | None = None, data: Any = None, sample: Any = None
    ) -> Fitted:
        """Call the model's own `train`, with the parameters of the request.

        `data`: the rows of its source, a DataFrame, for one that does not fetch them itself;
        `sample`: a few of them as a prediction gets them, without the target.
        """
        self._need("train", "it does not fetch its own data", ("GET", "POST", "PUT", "DELETE"))
        given = signatures.parameters_of(self._instance, "train", dict(params or {}))
        if data is None:
            return self._done("train", lambda: self._instance.train(**given), None)
        given[signatures.ROWS] = signatures.rows_for(self._instance, data)
        inputs = schema.of_data(sample, None)
        return self._done("train", lambda: self._instance.train(**given), None, inputs)

    def update(self, x: Any, y: Any = None) -> Fitted:
        """Update what is fitted: by the class's `update`, or by scikit-learn's `partial_fit`."""
        if model_of(self._instance) is None and self._model.fitted is None:
            raise NotTrainable(
                f"{self._model.name} has no fitted version to update: fit one with PUT first",
                ("GET", "POST", "PUT", "DELETE"),
            )
        data = Data.of(x, y, self._inputs)
        if "update" in self._model.spec.methods:
            method = self._method("update")
            return self._done("update", lambda: data.call(method, {}), data)
        name, instance = self._model.name, self._instance
        return self._done("partial_fit", lambda: partial_fit.update(name, instance, data), data)

    def measure(self, data: Data) -> dict[str, Any] | None:
        """Return what the class's `metrics` says of some rows; None without such a method."""
        if "metrics" not in self._model.spec.methods:
            return None
        method = self._method("metrics")
        found = self.run(lambda: data.call(method, {}))
        if isinstance(found, Mapping):
            return dict(found)
        kind = type(found).__name__
        raise JobFailed("fit", "", f"metrics must return a dict of numbers; it returned a {kind}")

    def accept(self, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
        """Return why the class refuses a version with these metrics; empty if it accepts.

        `old` are those of the current version, None without one. A first version is compared with
        nothing: where `accept` cannot do that, it is accepted. What `accept` raises otherwise is a
        refusal too: what was fitted for hours is not lost for it.
        """
        if "accept" not in self._model.spec.methods:
            return ""
        try:
            found = self.run(lambda: self._instance.accept(dict(new), dict(old or {})))
        except Exception as error:  # noqa: BLE001  model code
            if not old and isinstance(error, KeyError | TypeError | AttributeError):
                return ""
            known = ", ".join(new) or "none"
            return f"accept raised {type(error).__name__}: {error} (the new metrics: {known})"
        reason = ""
        if isinstance(found, tuple) and len(found) == 2:
            found, reason = found[0], str(found[1])
        if found:
            return ""
        return f"accept(new_metrics, old_metrics) refused it{f': {reason}' if reason else ''}"

    # --- predictions ------------------------------------------------------------------------------

    def adopt(self, fitted: Fitted) -> None:
        """Go on from an object that was fitted before, as after `fit`."""
        give(self._instance, fitted.model)
        self._inputs = fitted.inputs

    @property
    def predicts(self) -> bool:
        """Whether the model can answer now, with what is fitted in memory."""
        return model_of(self._instance) is not None or estimates.has_own(self._instance)

    def bind(self) -> None:
        """Have the loaded model answer with what is fitted in memory.

        Raises ModelBroken if that cannot predict.
        """
        model = self._model
        single = calls.of_instance(self._instance, dataframe=model.spec.class_name == METHOD)
        found = predictions.bind_to(
            model.spec, self._instance, single, self._inputs, place="what was fitted", ready=True
        )
        found = by_schema(model.spec, found)
        model.call, model.schema = found.call, found.schema
        model.bind, model.call_batch = found.bind, found.call_batch

    def predict(self, x: Any) -> Any:
        """Return the answer to a table, by what is fitted in memory. Raises what the model does."""
        self.bind()
        return self.run(lambda: self._model.call(x))

    # --- calls ------------------------------------------------------------------------------------

    def _need(self, name: str, why: str, allowed: tuple[str, ...]) -> None:
        if name not in self._model.spec.methods:
            raise NotTrainable(f"{self._model.name} has no {name} method: {why}", allowed)

    def _method(self, name: str) -> signatures.DataMethod:
        if name not in self._methods:
            self._methods[name] = signatures.read(self._instance, name)
        return self._methods[name]

    def run(self, call: Callable[[], Any]) -> Any:
        """Call the model's code in its context and its folder; wait for an `async def`."""
        with chdir(self._model.spec.path):  # as while it loads; no other model runs here
            return self._awaited(self._model.context.run(call))

    def _awaited(self, found: Any) -> Any:
        if inspect.isgenerator(found):
            return self._exhaust(found)
        if not inspect.isawaitable(found):
            return found
        import asyncio

        with asyncio.Runner() as runner:
            return runner.run(_awaited(found), context=self._model.context.copy())

    def _exhaust(self, steps: Iterator[Any]) -> Any:
        """Report what a generator yields; return what it returns."""
        while True:
            try:
                progress = self._model.context.run(next, steps)
            except StopIteration as end:
                return end.value
            self._on_progress(progress)

    def _done(
        self,
        name: str,
        call: Callable[[], Any],
        data: Data | None,
        inputs: TableSchema | None = None,
    ) -> Fitted:
        """Run a training method; return what it has fitted, with its metrics.

        `inputs`: what is known of the columns, where the object itself does not tell.
        """
        before = dict(vars(self._instance)) if hasattr(self._instance, "__dict__") else {}
        digests = restoring.digests(self._instance)
        found, metrics = _with_metrics(self.run(call))
        if _is_number(found) and model_of(self._instance) is not before.get("model"):
            found, metrics = None, {**metrics, "score": found}  # it has set self.model
        model = self._fitted(name, found, before, digests)
        give(self._instance, model)
        if data is not None and self._measures:
            metrics |= self.measure(data) or {}
        known = data.inputs if data is not None else None
        self._inputs = known or schema.of_estimator(model) or inputs
        return Fitted(model, _json(metrics), self._inputs)

    def _fitted(
        self, name: str, found: Any, before: Mapping[str, Any], digests: Mapping[str, bytes]
    ) -> Any:
        """Return the fitted object: what the method returned; else `self.model`, if it has set
        nothing besides; else self.
        """
        instance = self._instance
        if found is not None and found is not instance:
            return found
        if model_of(instance) is not None and not restoring.sets_more(instance, before, digests):
            return instance.model
        state = restoring.changed(instance, before)
        if vars(state) or found is instance:
            return state
        message = f"{name} must return the fitted model, or set self.model; it returned None"
        raise JobFailed("fit", "", message)


async def _awaited(found: Any) -> Any:
    return await found


def _is_number(value: Any) -> bool:
    """Return whether a value is one number, of Python or numpy."""
    return hasattr(value, "__float__") and getattr(value, "shape", ()) == ()


def _with_metrics(found: Any) -> tuple[Any, dict[str, Any]]:
    """Return what a method has fitted, and the metrics beside it: `return model, {"auc": 0.9}`."""
    if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], Mapping):
        return found[0], dict(found[1])
    return found, {}


def _json(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return metrics as JSON types. Raises ModelRaised for values that JSON cannot hold."""
    found: dict[str, Any] = json_text.loads(results.dump(metrics))
    return found
