"""A request becomes a job: it is checked where that is cheap, its data are stored, then its row.

The blob of the data comes first, so that no job is ever without them.
"""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from modelsync.errors import (
    BodyTooLarge,
    DataInvalid,
    NotFitted,
    ResourcesExhausted,
    StorageFailed,
    StoreUnavailable,
)
from modelsync.files import storage
from modelsync.fitting.uploads import recognize
from modelsync.models.types import ModelEntry
from modelsync.settings import Settings
from modelsync.store.records import Job, JobKind, NewJob, Version
from modelsync.training import plan, training_request
from modelsync.training.intent import kind_of, options_of
from modelsync.training.suitability import (
    check_columns,
    check_method,
    refuse_unfit,
    with_targets,
)
from modelsync.training.training_request import KEY_DIGITS, LARGE, TrainingRequest, valid_name

if TYPE_CHECKING:
    from modelsync.data.sources import DataSource
    from modelsync.store import Store

MAX_KEY = 255
"""Characters of an `Idempotency-Key`."""

COPY = 1024**2
"""Bytes that are copied at a time."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request for a job, without HTTP.

    `kind`: `fit` also without a body, which calls `train`. `body`: a file at its start, `size` its
    bytes, None if that is not known. `version`: which one to update, empty for the one that the
    body names, else the current. `serializer`: of an uploaded file, whose version is called `name`.
    `instance`: the loaded model, None if it is not loaded in this process.

    Of a training run: `day`, whose data is meant, `key` for its version, `source`, of those that
    the class declares the one that was checked, and `checked`, its fingerprint then. `promote`: the
    version serves if it is accepted.
    """

    kind: JobKind
    body: IO[bytes]
    size: int | None
    name: str = ""
    version: str = ""
    retrain: bool = False
    serializer: str = ""
    idempotency_key: str = ""
    instance: Any = None
    day: date | None = None
    key: str = ""
    source: str = ""
    checked: str = ""
    promote: bool = True


@dataclass(frozen=True, slots=True)
class Intake:
    """Where requests become jobs: the store, the settings, what serves here.

    `folders`: where the release has the models. `commit` and `release` name it.
    """

    store: Store
    settings: Settings
    folders: Path
    commit: str = ""
    release: str = ""

    def submit(self, entry: ModelEntry, asked: Submission) -> tuple[Job, bool]:
        """Return the job of a request, and whether it was made now.

        Raises DataInvalid, MalformedBody, UnknownVersion, NotFitted, IdempotencyMismatch, JobsFull,
        StoreUnavailable.
        """
        if self.settings.training.jobs == "off":
            raise StoreUnavailable("no model is fitted here: MODELSYNC_JOBS is off", 3600)
        if len(asked.idempotency_key) > MAX_KEY:
            raise DataInvalid(f"Idempotency-Key: more than {MAX_KEY} characters")
        try:
            with storage():
                job, retrain = self._described(entry, asked)
        except (StorageFailed, ResourcesExhausted) as error:
            raise StoreUnavailable(str(error)) from None
        limit = self.settings.training.max_queue
        return self.store.catalog.add_job(job, max_waiting=limit, retrain=retrain)

    def _described(self, entry: ModelEntry, asked: Submission) -> tuple[NewJob, bool]:
        """Return the job, whose data are stored by then, and whether it is wanted in any case."""
        scratch = self.settings.state.home / "run" / "requests"
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="request-", dir=scratch) as folder:
            if asked.kind == "upload":
                return self._upload(entry, asked, Path(folder)), True
            return self._fit(entry, asked, Path(folder))

    # --- data to fit with -------------------------------------------------------------------------

    def _fit(self, entry: ModelEntry, asked: Submission, folder: Path) -> tuple[NewJob, bool]:
        """Read the body, store its data, and describe the job, and whether it is wanted anyway."""
        content = folder / "content.json"
        if asked.size is None or asked.size > LARGE:
            body = folder / "body.json"
            self._copy(asked.body, body)
            request = training_request.read_file(body, content)
        else:
            request, data = training_request.read(asked.body.read())
            refuse_unfit(data, entry.spec.schema)
            content.write_bytes(data)
        request = with_targets(request, entry.spec.schema)
        kind = kind_of(entry, asked.kind, request)
        digest, options, known = request.data, dict[str, Any](), kind != "train"
        planned = not request.data and not request.source
        if found := self._source(entry, kind, request, asked):
            digest, known = found.digest, found.tells_changes
            request = replace(request, source=found.text, target=", ".join(found.target))
            options = {"columns": request.columns} if request.columns else {}
            options |= {"target": list(found.target)} if len(found.target) > 1 else {}
        options |= options_of(entry, kind, planned=planned)
        options |= {} if asked.promote else {"promote": False}
        options |= {plan.CHECKED: asked.checked} if asked.checked else {}
        check_method(request, kind, asked.instance)
        parent = None
        if kind == "update":
            parent, follows = self._parent(entry, asked.version or request.name)
            if not entry.spec.schema:  # which fills what is missing
                check_columns(request, parent)
            options = {**options, "follows": follows}
        key, named = _key(kind, request, digest, parent)
        key = asked.key or key
        job = NewJob(
            model=entry.name,
            kind=kind,
            key=key,
            named=named,
            params=request.params,
            source=request.source,
            target=request.target,
            parent=parent.number if parent else None,
            fingerprint=_fingerprint(kind, digest, request) if known else "",
            request_digest=_digest([kind, digest, request.params, key, request.retrain]),
            webhook=request.webhook,
            options={"data": digest, **options},
            **self._origin(entry, asked),
        )
        retrain = request.retrain or asked.retrain
        return self._stored(job, content, retrain) if request.data else job, retrain

    def _stored(self, job: NewJob, content: Path, retrain: bool) -> NewJob:
        """Store the data of a job, unless it is refused anyway: its data would stay for a day."""
        limit = self.settings.training.max_queue
        self.store.catalog.check_room(job, max_waiting=limit, retrain=retrain)
        return replace(job, input=self.store.blobs.put(content))

    def _source(
        self, entry: ModelEntry, kind: JobKind, request: TrainingRequest, asked: Submission
    ) -> DataSource | None:
        """Return the source that a request names, else the one that the class declares; None if the
        data is in the body, or the model fetches it itself. Raises DataInvalid.
        """
        spec = entry.spec
        if request.data or not (request.source or plan.sources_of(spec)):
            return None
        from modelsync.data import sources  # loads pyarrow

        named = request.source or asked.source
        return sources.first(
            (named,) if named else plan.sources_of(spec),
            request.target or (plan.target_of(spec) if kind != "update" else ()),
            tuple(request.columns),
            folder=self.folders / spec.path,
            settings=self.settings,
            day=asked.day or datetime.now().astimezone().date(),
            schema=spec.schema,
        )

    def _parent(self, entry: ModelEntry, name: str) -> tuple[Version, str]:
        """Return the version to update, and what to follow if there is another one by then.

        Raises UnknownVersion, NotFitted.
        """
        catalog = self.store.catalog
        record = catalog.model(entry.name)
        if name:
            version = catalog.version(entry.name, name)
            is_key = name == version.key and name not in record.labels
            return version, "key" if is_key else ""
        if record.current is None:
            raise NotFitted(f"{entry.name} has no current version to update; fit one with PUT")
        return catalog.version(entry.name, f"v{record.current}"), "current"

    def _origin(self, entry: ModelEntry, asked: Submission) -> dict[str, Any]:
        return {
            "code": entry.spec.version,
            "commit": self.commit,
            "release": self.release,
            "idempotency_key": asked.idempotency_key,
        }

    # --- ready files ------------------------------------------------------------------------------

    def _upload(self, entry: ModelEntry, asked: Submission, folder: Path) -> NewJob:
        """Store an uploaded file, told from a pickle by its content, and describe its job."""
        valid_name(asked.name)
        file = folder / "upload"
        self._copy(asked.body, file)
        serializer = recognize(file)
        if asked.serializer not in ("", serializer):
            raise DataInvalid(f"the file is {serializer}, not {asked.serializer}")
        job = NewJob(
            model=entry.name,
            kind="upload",
            key=asked.name,
            named=True,
            request_digest=_digest(["upload", _digest_of(file), asked.name]),
            options={"serializer": serializer, "data": ""},
            **self._origin(entry, asked),
        )
        return self._stored(job, file, retrain=True)

    def _copy(self, source: IO[bytes], to: Path) -> None:
        """Copy a body to a file. Raises BodyTooLarge."""
        limit = self.settings.training.max_upload
        with to.open("wb") as file:
            while chunk := source.read(COPY):
                if file.tell() + len(chunk) > limit:
                    raise BodyTooLarge(f"the body is over {limit} bytes (MODELSYNC_MAX_UPLOAD)")
                file.write(chunk)


def _key(
    kind: JobKind, request: TrainingRequest, digest: str, parent: Version | None
) -> tuple[str, bool]:
    """Return the key of the version, and whether a client has given it.

    An update has the key of its parent, so that this key means the newest version. What `train`
    fetches is not known, so its key is random.
    """
    if parent is not None:
        return parent.key, False
    if request.name:
        return valid_name(request.name), True
    if kind == "train" and not digest:
        return secrets.token_hex(KEY_DIGITS // 2), False
    return _digest([digest, request.params])[:KEY_DIGITS], False


def _fingerprint(kind: JobKind, digest: str, request: TrainingRequest) -> str:
    return _digest([kind, digest, request.params, request.target])


def _digest(value: Any) -> str:
    return sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _digest_of(file: Path) -> str:
    with file.open("rb") as opened:
        return file_digest(opened, "sha256").hexdigest()
