"""The compiled forms of the models of a release: from the store, or made now, or later.

A sync waits for them for a bounded time, and no failure here fails it: then the models serve
uncompiled. What was late is compiled after the release serves (`late_compiling`), into the store;
the next update finds it there and publishes it.
"""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.environments.store import Environments
from modelsync.files import copy_tree
from modelsync.git.cache import MirrorCache
from modelsync.models.artefacts import registry
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import fingerprint, use
from modelsync.models.compiled.compiled_store import CompiledStore, key_of
from modelsync.models.compiling.compilations import Limits, compile_all
from modelsync.models.compiling.compile_process import CompileTask
from modelsync.models.types import CheckResult, ModelName, ModelSpec
from modelsync.releases import owners
from modelsync.releases.store import Release, Staging
from modelsync.settings import Compiling, Settings, child_environment
from modelsync.sync.staged_models import StagedModels

SHARE = 0.5
"""The part of the time left of a sync that it may wait for compilers."""

ONE_OF_MANY = 3
"""One model among others may take this part of the time for all, so that one that hangs does not
keep the others from being compiled.
"""

LATER = 10
"""How many times as long one model may take once the release serves."""

OFF = Compilation("off", "MODELSYNC_COMPILE is off")

AS_IT_IS = Compilation("compiled", "an ONNX graph is served as it is", "onnxruntime")

COMPILED_FORMATS = frozenset({"pickle", "skops", "xgboost", "lightgbm"})
"""The formats of files in which there may be an estimator that can be compiled."""

Results = Mapping[ModelName, CheckResult]

_log = logging.getLogger("modelsync.sync.update")


class ModelCompiling:
    """Compiles the models of a state directory, or takes what was compiled before."""

    def __init__(self, config: Settings, environments: Environments) -> None:
        self._config = config
        self._settings = config.compile
        git = config.git
        shared = MirrorCache(git.cache, git).home / "compiled" if git.cache else None
        self._store = CompiledStore(config.state.home / "compiled", shared)
        self._environments = environments

    def compiled(
        self,
        staged: StagedModels,
        results: Results,
        current: Release | None,
        deadline: Deadline,
        *,
        again: bool = False,
    ) -> tuple[StagedModels, dict[ModelName, CheckResult]]:
        """Return the models of a release that is being built, and their results, with the compiled
        forms of the good ones, whose files are in the staging folder then.

        `again`: what could not be compiled before is tried again.
        """
        found = self._compile(staged.specs, results, current, staged.staging, deadline, again)
        folders = {name: staged.staging.compiled / name for name in found}
        specs = [
            replace(spec, compiled=folders[spec.name])
            if spec.name in found and folders[spec.name].is_dir()
            else spec
            for spec in staged.specs
        ]
        if self._settings.mode != "off":
            self._note(specs, staged.commit)
        return replace(staged, specs=specs), {
            name: replace(one, compilation=found[name]) if name in found else one
            for name, one in results.items()
        }

    def has_more(self, release: Release) -> bool:
        """Whether a model of a release was compiled after that had been published, or is still to
        be compiled and no service does that by itself.
        """
        late = _late(release)
        return any(self._store.has(self._key(spec)) for spec in late) or (
            bool(late) and self._is_alone()
        )

    def compile_late(self, release: Release) -> dict[ModelName, Compilation]:
        """Compile the models of a release that were late, into the store; return what came of each.

        One that is not compiled in this time either is refused. Raises OSError.
        """
        late = [spec for spec in _late(release) if not self._store.has(self._key(spec))]
        limits = self._limits(LATER * self._settings.timeout, math.inf)
        return self._compile_into_store(late, limits, at_last=True) if late else {}

    def _compile(
        self,
        specs: Sequence[ModelSpec],
        results: Results,
        current: Release | None,
        staging: Staging,
        deadline: Deadline,
        again: bool,
    ) -> dict[ModelName, Compilation]:
        """Put the compiled forms of the good models into `staging.compiled`; return what came of
        each model that has something to compile.
        """
        found: dict[ModelName, Compilation] = {}
        wanted: dict[ModelName, ModelSpec] = {}
        for spec in specs:
            if results[spec.name].ok and has_estimator(spec):
                if settled := _settled(spec, self._settings.mode):
                    found[spec.name] = settled
                else:
                    wanted[spec.name] = spec
        try:
            for name, spec in wanted.items():
                known = results[name].compilation
                if one := self._known(spec, known, current, staging.compiled / name, again=again):
                    found[name] = one
            missing = [spec for name, spec in wanted.items() if name not in found]
            if missing:
                found |= self._compiled_now(missing, staging, deadline)
        except OSError as error:
            found |= self._failed(error, wanted, found)
        return found

    # --- the store --------------------------------------------------------------------------------

    def _key(self, spec: ModelSpec) -> str:
        return key_of(spec, self._settings.tolerance)

    def _note(self, specs: Iterable[ModelSpec], commit: str) -> None:
        """Note which entries of the store the models of a commit use; remove those of old ones."""
        if keys := {self._key(spec) for spec in specs if has_estimator(spec)}:
            try:
                self._store.note(commit, keys, keep=self._config.sync.keep_releases)
            except OSError as error:
                _log.warning("the store of compiled models cannot be swept: %s", error.strerror)

    def _known(
        self,
        spec: ModelSpec,
        known: Compilation | None,
        current: Release | None,
        target: Path,
        *,
        again: bool,
    ) -> Compilation | None:
        """Return what came of an earlier compilation, its forms in `target`; None if it is to be
        compiled now. Raises OSError.
        """
        found = self._store.take(self._key(spec), target)
        if found and not (again and found.state == "refused"):
            return found
        if again or known is None:
            return None
        if known.state == "late" and self._is_alone():
            return None
        if known.state != "compiled":
            return known
        entry = current.models.get(spec.name) if current else None
        if current and entry and entry.spec.compiled:
            forms = current.path / entry.spec.compiled
            if fingerprint.is_from_here(forms):
                target.parent.mkdir(exist_ok=True)
                copy_tree(forms, target)
                return known
        return None

    def _is_alone(self) -> bool:
        """Whether no supervisor runs, which has late models compiled once the release serves."""
        return not owners.source_of_supervisor(self._config.state.home)

    def _failed(
        self, error: OSError, wanted: Iterable[ModelName], found: Mapping[ModelName, Compilation]
    ) -> dict[ModelName, Compilation]:
        reason = f"it was not compiled: {error.strerror}"
        _log.warning("models are served uncompiled: %s", error.strerror)
        return {name: Compilation("late", reason) for name in wanted if name not in found}

    # --- compiling --------------------------------------------------------------------------------

    def _compiled_now(
        self, specs: Sequence[ModelSpec], staging: Staging, deadline: Deadline
    ) -> dict[ModelName, Compilation]:
        """Compile what is in no store, as far as the time suffices. Raises OSError."""
        total = min(self._settings.timeout, SHARE * deadline.remaining())
        each = total / ONE_OF_MANY if len(specs) > 1 else total
        found = self._compile_into_store(specs, self._limits(each, total))
        for spec in specs:
            if found[spec.name].state == "compiled":
                self._store.take(self._key(spec), staging.compiled / spec.name)
        return found

    def _limits(self, each: float, total: float) -> Limits:
        return Limits(each, total, self._settings.tolerance)

    def _compile_into_store(
        self, specs: Sequence[ModelSpec], limits: Limits, *, at_last: bool = False
    ) -> dict[ModelName, Compilation]:
        """Compile models; what is done is in the store at once, whatever ends this process.

        `at_last`: what is late is refused, and not tried again. Raises OSError.
        """

        def keep(task: CompileTask, found: Compilation) -> None:
            is_late = found.state == "late"
            if is_late and not at_last:
                return
            found = replace(found, state="refused") if is_late else found
            forms = task.folder if task.folder.is_dir() else None
            # Another pod may have the time that this one has not.
            self._store.add(self._key(task.spec), forms, found, share=not is_late)

        with self._store.working() as work:
            tasks = [CompileTask(spec, work / spec.name) for spec in specs]
            pythons = self._environments.pythons({spec.environment for spec in specs})
            return compile_all(
                tasks, limits, child_environment(), pythons=pythons, on_progress=keep
            )


def compile_checked(
    specs: Sequence[ModelSpec],
    results: Results,
    config: Settings,
    pythons: Mapping[str, Path],
    on_progress: Callable[[ModelName], None] = lambda name: None,
) -> dict[ModelName, Compilation]:
    """Compile the good models of a check, for what comes of it; no store is read or written.

    `pythons`: the Python of each environment. `on_progress` is called with the name of each model.
    """
    settings = config.compile
    good = [spec for spec in specs if results[spec.name].ok and has_estimator(spec)]
    found = {spec.name: one for spec in good if (one := _settled(spec, settings.mode))}
    missing = [spec for spec in good if spec.name not in found]
    if not missing:
        return found
    with tempfile.TemporaryDirectory(prefix="modelsync-compiled-") as name:
        tasks = [CompileTask(spec, Path(name, spec.name)) for spec in missing]
        limits = Limits(settings.timeout, math.inf, settings.tolerance)
        return found | compile_all(
            tasks,
            limits,
            child_environment(),
            pythons=pythons,
            on_progress=lambda task, _: on_progress(task.spec.name),
        )


def has_estimator(spec: ModelSpec) -> bool:
    """Whether a model may have an estimator to compile, as far as its folder tells."""
    return bool(spec.artefact) or use.uses_compiled(spec)


def _settled(spec: ModelSpec, mode: Compiling) -> Compilation | None:
    """Return what is known of a model without compiling it; None if that must be tried."""
    kind = registry.find(spec.path / spec.artefact) if spec.artefact else None
    if kind and kind.name == "onnx":
        return AS_IT_IS
    if mode == "off":
        return OFF
    if kind and kind.name not in COMPILED_FORMATS:
        return Compilation("refused", f"a file of {kind.name} has no compiled form")
    return None


def _late(release: Release) -> list[ModelSpec]:
    """Return the models of a release that serve uncompiled for want of time."""
    return [
        entry.spec.below(release.path)
        for entry in release.models.values()
        if entry.state == "ready" and entry.compilation and entry.compilation.state == "late"
    ]
