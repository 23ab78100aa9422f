"""The values that the layers exchange about models. Pure data, without I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NewType

from modelsync.models import versions
from modelsync.models.artefact_facts import ArtefactFacts
from modelsync.models.compilation import Compilation
from modelsync.models.data_schema import NO_PLAN, DataSchema, TrainingPlan
from modelsync.models.measurements import NOT_MEASURED, Measurements
from modelsync.models.model_warnings import ModelWarning
from modelsync.models.placement import IN_WORKERS, Placement
from modelsync.models.request_form import PLAIN, RequestForm
from modelsync.models.versions import FittedVersion

ModelName = NewType("ModelName", str)
TreeHash = NewType("TreeHash", str)
"""The git tree hash of a model's folder (40 hex digits): the model's version."""

FaultStage = Literal["name", "static", "environment", "load", "example", "timeout", "crash"]
"""The stage in which a model failed.

`name`: the name of its folder. `static`: the analysis of its source, which runs no code.
`environment`: the libraries that it requires. `load`: its import and `__init__`. `example`: one of
its examples. `timeout`: it took too long to load or to answer its examples. `crash`: it ended the
check process (`os._exit`, a segmentation fault).
"""

ModelState = Literal["ready", "stale", "failed"]
"""`ready`: the wanted version serves. `stale`: it is broken and an earlier version serves.
`failed`: nothing serves.
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a model cannot be served. `file` is relative to its folder; `line` counts from 1.

    `transient`: it may pass by itself (a database that was away), so the model is tried again.
    """

    stage: FaultStage
    message: str
    file: str | None = None
    line: int | None = None
    hint: str | None = None
    transient: bool = False

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        place = f"{self.file}{line}: " if self.file else ""
        return f"{place}{self.message}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model folder as the static analysis describes it; none of its code has run.

    It is carried whole from discovery to serving: into the check process, `release.json` and
    `serve_models.py` (`serialization` writes and reads it generically, in the order of these
    fields). A new property needs a JSON type and a default, which older releases then have.

    `path`: the folder, absolute or relative to the working directory; in a `ModelEntry` relative
    to the directory of the release.
    `class_name`: the class that is the model, or an object of one, by its name at the top of
    `etls.py`; `function`: the plain function there that is the model in place of a class.
    `artefact`: the file that is the model, in a folder without `etls.py`. One of the three is set.
    `version`: empty if the folder cannot be read. With shared code it is the digest of the folder's
    tree hash and of the shared files.
    `subdir`: where the folder that holds the model folders lies in the repository, as in
    MODELSYNC_GIT_SUBDIR: `from <subdir>.<name>.helpers import x` imports the model's own module.
    `shared`: the folder with the shared files that the model imports, laid out as in the
    repository; absolute or relative as `path` is; None if it imports none.
    `compiled`: the folder with the compiled forms of its estimators, absolute or relative as `path`
    is; None without one.
    `writes_self`: the predicting method assigns to `self`, so calls of it must not overlap.
    `is_async`: the predicting method is an `async def`.
    `methods`: those of the optional methods in `convention.LIFECYCLE` that the class has, sorted.
    `environment`: the id of the environment that the folder's requirements make, empty if it has
    none: then the model runs with the libraries of the service.
    `schema`: what `schema.yml` says of the data; None without that file. `plan`: how the class is
    trained by itself.
    `fault`: why the folder cannot be loaded; None if it can.
    """

    name: ModelName
    path: Path
    class_name: str = field(default="", kw_only=True)
    function: str = field(default="", kw_only=True)
    artefact: str = field(default="", kw_only=True)
    version: TreeHash
    subdir: str = field(default="", kw_only=True)
    shared: Path | None = field(default=None, kw_only=True)
    compiled: Path | None = field(default=None, kw_only=True)
    writes_self: bool = field(default=False, kw_only=True)
    is_async: bool = field(default=False, kw_only=True)
    methods: tuple[str, ...] = field(default=(), kw_only=True)
    environment: str = field(default="", kw_only=True)
    schema: DataSchema | None = field(default=None, kw_only=True)
    plan: TrainingPlan = field(default=NO_PLAN, kw_only=True)
    fault: Fault | None = field(default=None, kw_only=True)

    def below(self, folder: Path) -> ModelSpec:
        """Return the spec with the paths that are relative to a folder, such as a release, as
        absolute ones.
        """
        shared = (folder / self.shared).absolute() if self.shared else None
        compiled = (folder / self.compiled).absolute() if self.compiled else None
        path = (folder / self.path).absolute()
        return replace(self, path=path, shared=shared, compiled=compiled)

    @property
    def trainable(self) -> bool:
        """Whether the model has versions that are fitted by REST."""
        return "fit" in self.methods or "train" in self.methods

    @property
    def takes_tables(self) -> bool:
        """Whether one request may hold several rows, as `{"x": ...}` or `{"data": ...}`."""
        return self.trainable or bool(self.artefact)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the check process found out about one version of a model; `fault` is None if it can
    serve. `answers`: those to its examples; None if they differ from call to call. `response`: the
    JSON schema of its answers by the annotation of its method; None if that tells nothing.
    `compilation`: None if it has no estimator that could be compiled.
    """

    name: ModelName
    version: TreeHash
    fault: Fault | None = None
    measured: Measurements = NOT_MEASURED
    placement: Placement = IN_WORKERS
    warnings: tuple[ModelWarning, ...] = ()
    answers: tuple[Any, ...] | None = None
    response: dict[str, Any] | None = None
    compilation: Compilation | None = None

    @property
    def ok(self) -> bool:
        """Whether this version can serve."""
        return self.fault is None


@dataclass(frozen=True, slots=True)
class Example:
    """One `examples/*.json`: a request, and the expected response (None: any).

    `status`: the status code with which the model rejects the request; None if it answers.
    """

    name: str
    variables: dict[str, Any]
    response: dict[str, Any] | None = None
    status: int | None = None


@dataclass(slots=True)
class LoadedModel:
    """A model that is ready to be called.

    `spec` describes it; its `is_async` is that of the method which was loaded. `name`, `version`
    and `is_async` are copies: every request reads them.

    `call` takes the `variables` object and returns the method's result. It binds and validates
    first, and raises VariablesInvalid; any other exception, SystemExit among them, is the model's
    own. For an `async def` method it returns an awaitable. `lock` must be held during a call where
    calls must not overlap (None for an `async def` method: a lock of threads would stop the event
    loop). `package` is the unique name under which the model's modules were imported. `schema` is
    the JSON schema of `variables`, None if the model takes any object. `call_seconds` is what
    the check measured.

    A model that takes several requests at once has `bind` and `call_batch`. `bind` makes a row of
    each `variables` object, and raises VariablesInvalid. `call_batch` takes a list of rows and
    returns a list of as many results; an exception in it fails only that request. `call` then
    answers one request just as `call_batch` does: the check compares them.

    `start` and `stop` are the model's own methods of these names, None if it has none: call them by
    `lifecycle.start` and `lifecycle.stop`. `context` is the one in which the model was loaded: it
    holds decimal's precision and numpy's error state as the model set them. Run every call of the
    model in it, or in a copy of it, because two calls cannot be in it at once.

    `warnings`: what may be wrong with it, as far as loading it has told. `fitted` is the stored
    version that the instance has as its `model`; None without one. `artefact` holds what an
    artefact tells of itself, `ready` is the LoadedArtefact; both None if the model is code. `form`
    says how it takes numbers and rows.
    """

    spec: ModelSpec
    call: Callable[[dict[str, Any]], Any]
    schema: dict[str, Any] | None = None
    doc: str = ""
    examples: tuple[Example, ...] = ()
    call_seconds: float | None = None
    lock: threading.Lock | None = None
    instance: Any = field(default=None, repr=False)
    package: str = ""
    bind: Callable[[dict[str, Any]], Any] | None = None
    call_batch: Callable[[list[Any]], list[Any]] | None = None
    start: Callable[[], Any] | None = None
    stop: Callable[[], Any] | None = None
    context: Context = field(default_factory=Context, repr=False)
    fitted: FittedVersion | None = None
    artefact: ArtefactFacts | None = None
    ready: Any = field(default=None, repr=False)
    warnings: tuple[ModelWarning, ...] = ()
    form: RequestForm = PLAIN
    name: ModelName = field(init=False)
    version: str = field(init=False)
    is_async: bool = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.spec.name
        self.version = versions.serving(self.spec.version, self.fitted)
        self.is_async = self.spec.is_async


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of a release, as `release.json` and `GET /<base>/<Model>` describe it.

    `spec` describes the version that serves, or if none serves the one that the commit holds;
    its `path` is relative to the directory of the release. `wanted_version` is what the commit
    holds, and `fault` says why that does not serve (`spec.fault` is always None). `release` is the
    id of the release in which `version` was first published. `response` is the JSON schema of its
    answers; None if no annotation tells. `compilation`: None if it has nothing to compile.
    """

    spec: ModelSpec
    state: ModelState
    wanted_version: TreeHash | Literal[""]
    release: str
    fault: Fault | None = None
    measured: Measurements = NOT_MEASURED
    placement: Placement = IN_WORKERS
    warnings: tuple[ModelWarning, ...] = ()
    response: dict[str, Any] | None = None
    compilation: Compilation | None = None

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        path: Path,
        *,
        fault: Fault | None,
        release: str = "",
        measured: Measurements = NOT_MEASURED,
        placement: Placement = IN_WORKERS,
        warnings: tuple[ModelWarning, ...] = (),
        response: dict[str, Any] | None = None,
        compilation: Compilation | None = None,
    ) -> ModelEntry:
        """Return the entry of a model in its wanted version, which serves unless it has a `fault`.

        `path` is the model's folder, relative to the directory of the release.
        """
        return cls(
            spec=replace(spec, path=path, fault=None),
            state="failed" if fault else "ready",
            wanted_version=spec.version,
            release=release,
            fault=fault,
            measured=measured,
            placement=placement,
            warnings=warnings,
            response=response,
            compilation=compilation,
        )

    @property
    def name(self) -> ModelName:
        """The model's name."""
        return self.spec.name

    @property
    def version(self) -> TreeHash | Literal[""]:
        """The version that serves; empty if none does."""
        return "" if self.state == "failed" else self.spec.version

    @property
    def call_seconds(self) -> float | None:
        """Seconds that a call takes in the form in which it serves; None if unknown."""
        measured, compilation = self.measured.call_seconds, self.compilation
        if measured is None or compilation is None or compilation.state != "compiled":
            return measured
        return measured / (compilation.speedup or 1.0)

    @property
    def folder(self) -> str:
        """The model's folder, relative to the directory of the release."""
        return str(self.spec.path)
