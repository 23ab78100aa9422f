"""Checks one model in this process: loads it, measures its footprint, runs its examples and trials.

The process is a fork that runs nothing else, so all that the model changes is its own.
"""

from __future__ import annotations

import faulthandler
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any, TextIO, cast

from modelsync.errors import ModelBroken
from modelsync.models.binding import calls, return_types
from modelsync.models.check import activity, baseline, held_objects, stored, uncalled
from modelsync.models.check.baseline import Baseline
from modelsync.models.check.footprint import Footprint
from modelsync.models.check.fork import ForkChannel, Message
from modelsync.models.check.placement import Facts, runner_reason
from modelsync.models.check.replaced import Functions
from modelsync.models.check.source_names import source_names
from modelsync.models.check.trials import Template
from modelsync.models.discovery.kept_arguments import keeps_arguments
from modelsync.models.discovery.overlap import find_write
from modelsync.models.discovery.process_wide import find_process_wide
from modelsync.models.isolation.model_package import ROOT
from modelsync.models.isolation.shared_settings import SharedSettings
from modelsync.models.loading import library_versions
from modelsync.models.measurements import Measurements
from modelsync.models.model_warnings import ModelWarning
from modelsync.models.serialization import to_json
from modelsync.models.types import CheckResult, Fault, LoadedModel, ModelSpec

TRIAL_SHARE = 0.5
"""Share of a model's time limit for its trials."""


class ModelCheck:
    """The check of one model in this process; reports each of its two stages on a channel.

    `functions`: those of the modules that were imported before. `trace`: takes the traceback if the
    model exceeds `timeout`, the seconds for loading it and answering its examples.
    """

    def __init__(
        self,
        spec: ModelSpec,
        timeout: float,
        functions: Functions,
        trace: TextIO,
        channel: ForkChannel,
    ) -> None:
        self.spec = spec
        self.timeout = timeout
        self.functions = functions
        self.trace = trace
        self.channel = channel
        self.may_patch = True

    def run(self) -> None:
        """Check the model; the last message is the result, or the facts for its placement."""
        spec = self.spec
        known = set(sys.modules)
        # The parent, which ends this process, reads there in which line the model hangs.
        faulthandler.dump_traceback_later(self.timeout, file=self.trace)
        settings, footprint = SharedSettings(), Footprint()
        activity.watch()
        started = time.perf_counter()
        measured, noted = Measurements(), tuple[ModelWarning, ...]()
        try:
            with settings.watching(HEAVY, footprint.forgiven):
                model = stored.load(spec, alone=True)
            noted = model.warnings
            measured = Measurements(time.perf_counter() - started, examples=len(model.examples))
            facts = self._loaded(model, footprint)
            template = Template(model, settings)
            facts = _with_threads(facts, footprint)
            found = baseline.run(model, spec, self.timeout)
            if found.unfitted:
                measured = replace(measured, examples=0, unfitted=len(model.examples))
                facts, model.examples = replace(facts, examples=0), ()
        except ModelBroken as error:
            fault = library_versions.explained(cast(Fault, error.fault), noted)
            result = CheckResult(spec.name, spec.version, fault, measured, warnings=noted)
            self.channel.send({"broken": to_json(result), "libraries": _libraries(known)})
            return
        faulthandler.cancel_dump_traceback_later()
        facts = replace(
            facts,
            rewrites=tuple(activity.rewritten()),
            call_activity=tuple(activity.take()),
            changed=tuple(map(settings.described, settings.changed(mild=False))),
            mildly_changed=tuple(map(settings.described, settings.changed(mild=True))),
            replaced=self._replaced(known),
        )
        result = CheckResult(
            spec.name,
            spec.version,
            measured=replace(measured, call_seconds=found.seconds),
            warnings=model.warnings,
            answers=tuple(found.answers) if found.is_steady else None,
            response=_response(model),
        )
        self.channel.send(
            {"answered": to_json(result), "facts": to_json(facts), "libraries": _libraries(known)}
        )
        self.channel.send(self._tried(template, model, facts, found))
        # Until then a second process meets what this one holds.
        if self.channel.receive():
            self.channel.send({"warnings": [to_json(one) for one in uncalled.warnings(model)]})
            self.channel.receive()

    def _loaded(self, model: LoadedModel, footprint: Footprint) -> Facts:
        """Return what the model has left in this process by being loaded."""
        package = model.package
        modules = [
            module
            for name, module in list(sys.modules.items())
            if isinstance(module, ModuleType) and f"{name}.".startswith(f"{package}.")
        ]
        held = held_objects.find(model.instance, modules, package)
        spec = self.spec
        loops, processes, self.may_patch = source_names(spec.path)
        changes = find_process_wide(spec)
        return Facts(
            artefact=bool(spec.artefact),
            is_async=model.is_async,
            environment=spec.environment,
            serial=bool(changes) or _is_serial(spec, is_async=model.is_async),
            event_loops=loops,
            names=processes,
            call_changes=changes,
            examples=len(model.examples),
            children=footprint.new_children(),
            ports=tuple(footprint.new_ports()),
            held=tuple(held["bound"] + footprint.new_descriptors()),
            processes=tuple(held["processes"]),
            generators=tuple(held["generators"]),
            load_activity=tuple(activity.take()),
        )

    def _replaced(self, known: set[str]) -> tuple[str, ...]:
        """Return the functions of other modules that the model has replaced.

        To look at all modules takes long, and is left out if the source replaces nothing, and no
        library was imported that is not known to replace nothing.
        """
        new = {name.partition(".")[0] for name in sys.modules.keys() - known}
        unknown = new - HEAVY - sys.stdlib_module_names - {ROOT, "modelsync"}
        return tuple(self.functions.replaced()) if self.may_patch or unknown else ()

    def _tried(
        self, template: Template, model: LoadedModel, facts: Facts, found: Baseline
    ) -> Message:
        """Return the facts of the trials, as values of `Facts`."""
        steps = _steps(model, facts)
        sequences: list[Any] = []
        outcomes: Message = {}
        if steps:
            limit = self.timeout * TRIAL_SHARE
            outcomes = template.run(found, steps, limit, fragile=facts.native_threads > 0)
            sequences = outcomes.pop("sequences", [])
        template.close()
        repeats = len(sequences) == 2 and sequences[0] == sequences[1] and sequences[0] is not None
        return {"outcomes": outcomes | {"repeats": repeats}, "sequence": sequences[:1]}


def _response(model: LoadedModel) -> dict[str, Any] | None:
    """Return the schema of the answers of a model that is code; here, since a runner that serves
    one does without pydantic.
    """
    if model.spec.artefact:
        return None
    return return_types.schema_of(model.instance, calls.method_of)


def _is_serial(spec: ModelSpec, *, is_async: bool) -> bool:
    """Return whether the source tells that calls must not overlap."""
    if is_async:
        return keeps_arguments(spec)
    return spec.writes_self or find_write(spec) is not None


def _steps(model: LoadedModel, facts: Facts) -> list[str]:
    """Return the trials to make: none of a model that does not survive a fork."""
    if not model.examples or facts.threads or facts.children or (model.is_async and model.start):
        return []
    if model.is_async:
        return ["thread", "twice"]
    if runner_reason(facts):  # whether it needs the main thread
        return ["thread"]
    steps = ["hidden" if facts.event_loops else "loop", "thread", "twice"]
    return steps[: 2 if facts.serial else 3]


def _with_threads(facts: Facts, footprint: Footprint) -> Facts:
    """Add the threads that a fork leaves behind; the model's process has just been forked."""
    named, others = footprint.new_threads()
    return replace(facts, threads=tuple(named), native_threads=others)


def _libraries(known: set[str]) -> Sequence[str]:
    """Return the modules that were imported since, of libraries that others need too."""
    return [name for name in list(sys.modules) if name not in known and _is_heavy(name)]


HEAVY = {
    "catboost", "joblib", "lightgbm", "matplotlib", "numpy", "onnxruntime", "pandas", "polars",
    "pyarrow", "scipy", "sklearn", "skops", "statsmodels", "tensorflow", "torch", "transformers",
    "xgboost",
}  # fmt: skip
"""Libraries that take long to import."""


def _is_heavy(name: str) -> bool:
    top, _, rest = name.partition(".")
    return top in HEAVY and "." not in rest and not rest.startswith("_")
