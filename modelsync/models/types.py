"""The values that the layers exchange about models. Pure data: no imports of model code, no I/O."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NewType

ModelName = NewType("ModelName", str)
TreeHash = NewType("TreeHash", str)
"""The git tree hash of a model's folder (40 hex digits): the model's version."""

FaultStage = Literal["name", "static", "load", "example", "timeout", "crash"]
"""Where a model failed: its folder's name; its source read without running it; import and
`__init__`; one of its examples; too slow in one of these; or it ended the check process
(`os._exit`, a segmentation fault).
"""

ModelState = Literal["ready", "stale", "failed"]
"""`ready`: the wanted version serves. `stale`: it is broken and an earlier version serves.
`failed`: nothing serves.
"""

RESERVED = frozenset(
    {
        "all",
        "usage",
        "docs",
        "openapi.json",
        "sync",
        "livez",
        "readyz",
        "metrics",
        "v2",
        "static",
        "favicon.ico",
    }
)
"""Names of the service's own routes, compared without case: no model may have one of them."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a model folder cannot be served. `file` is relative to the model's folder; `line` counts
    from 1.
    """

    stage: FaultStage
    message: str
    file: str | None = None
    line: int | None = None
    hint: str | None = None

    def __str__(self) -> str:
        where = (
            f"{self.file}:{self.line}: "
            if self.file and self.line
            else f"{self.file}: "
            if self.file
            else ""
        )
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A folder as the static check sees it; nothing of it has run. `fault` is None where it can be
    loaded.

    `writes_self`: the predicting method assigns to `self`, so calls of it must not overlap.
    `artefact`: the file that is the model, in a folder without `etls.py`; then there is no class.
    """

    name: ModelName
    path: Path
    version: TreeHash
    class_name: str = ""
    writes_self: bool = False
    is_async: bool = False
    fault: Fault | None = None
    artefact: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What the check process found out about one version of a model. Times in seconds, sizes in
    bytes.

    `call_seconds` is the median of its examples' calls, None where it has none. `schema` is the
    JSON schema of `variables`, None where the model takes any object.
    """

    name: ModelName
    version: TreeHash
    fault: Fault | None = None
    load_seconds: float | None = None
    call_seconds: float | None = None
    examples: int = 0

    @property
    def ok(self) -> bool:
        """Whether this version can serve."""
        return self.fault is None


@dataclass(frozen=True, slots=True)
class Example:
    """One `examples/*.json`: a request that a model must answer, and what it answers (None:
    anything).
    """

    name: str
    variables: dict[str, Any]
    response: dict[str, Any] | None = None


@dataclass(slots=True)
class LoadedModel:
    """A model that is ready to be called.

    `call` takes the `variables` object and returns the method's result; it binds and validates
    first and raises `VariablesInvalid`. For an `async def` method `is_async` is true and `call`
    returns an awaitable. Any other exception, `SystemExit` among them, is the model's own. `lock`
    is held around a call where calls must not overlap (None for an `async def` method: a lock of
    threads would stop the event loop). `package` is the unique name under which its modules were
    imported.

    A model that takes several requests at once has `call_batch`, which takes the list of what
    `bind` gives for each `variables` object (raising VariablesInvalid) and returns a list of as
    many results; an exception in it fails that one request alone. `call` then answers one request
    just as `call_batch` would: the check compares them.
    """

    name: ModelName
    version: TreeHash
    call: Callable[[dict[str, Any]], Any]
    is_async: bool = False
    schema: dict[str, Any] | None = None
    doc: str = ""
    examples: tuple[Example, ...] = ()
    call_seconds: float | None = None
    lock: threading.Lock | None = None
    instance: Any = field(default=None, repr=False)
    package: str = ""
    bind: Callable[[dict[str, Any]], Any] | None = None
    call_batch: Callable[[list[Any]], list[Any]] | None = None


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of a release, as `release.json` and `GET /<base>/<Model>` tell of it.

    `version` is what serves ("" where nothing does), `wanted_version` is what the commit holds.
    `release` is the id of the release in which `version` was first published. `folder` is relative
    to the release's directory.
    """

    name: ModelName
    state: ModelState
    version: TreeHash | Literal[""]
    wanted_version: TreeHash | Literal[""]
    release: str
    folder: str
    class_name: str = ""
    writes_self: bool = False
    is_async: bool = False
    fault: Fault | None = None
    load_seconds: float | None = None
    call_seconds: float | None = None
    examples: int = 0
    artefact: str = ""
