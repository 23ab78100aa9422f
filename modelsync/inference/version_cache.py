"""Answers requests that name a fitted version: a number, a key, a name or a label.

A version that does not serve is loaded for the first request that names it, in a thread, and stays
in memory with the few that were used last.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, perf_counter

from modelsync.errors import (
    DeadlineExceeded,
    ModelBroken,
    ModelsyncError,
    ModelUnavailable,
    NotFitted,
    Overloaded,
    RequestError,
    UnknownVersion,
    VersionRefused,
)
from modelsync.inference.codec import Codec
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.outcome import Outcome
from modelsync.inference.replacement import bring_up, retire
from modelsync.inference.threads import start_thread
from modelsync.inference.timeouts import Ticket, Timeouts
from modelsync.models.types import LoadedModel
from modelsync.models.versions import FittedVersion
from modelsync.releases.fitted import FittedVersions, ModelVersions

MAX_LOADING = 4
"""Versions that are loaded at a time in one process; requests for more are refused."""

REMEMBERED = 5.0
"""Seconds for which a version that does not load is not tried again."""

MAX_NAMED = 20
"""Versions that an error names."""

Heard = Callable[[Outcome, LoadedModel | None], None]
"""Gets the outcome of a request, and the model with the version that was called, if one was."""

Fetch = Callable[[FittedVersion], Path]
"""Returns the artefact of a version on this machine, from the store if need be; ModelsyncError."""


@dataclass(slots=True)
class _Waiting:
    """A request that waits until its version is loaded."""

    payload: bytes
    codec: Codec
    request_id: str
    started: float
    done: Heard
    ticket: Ticket


@dataclass(slots=True)
class _Entry:
    """A version: being loaded, while requests wait; then its runner."""

    version: FittedVersion
    runner: ModelRunner | None = None
    waiting: list[_Waiting] = field(default_factory=list)


class VersionCache:
    """The versions that one process has loaded for requests by version.

    It holds at most `limit` of a model. `fetch` returns how artefacts are got that are not on disk.
    `load_limit`: seconds that loading may take. All methods may be called in any thread.
    """

    def __init__(
        self,
        dataplane: DataPlane,
        fitted: FittedVersions,
        *,
        limit: int,
        load_limit: float,
        fetch: Callable[[], Fetch | None],
    ) -> None:
        self._dataplane = dataplane
        self._fitted = fitted
        self._limit = limit
        self._load_limit = load_limit
        self._fetch = fetch
        self._stamp: object = None
        self._known: Mapping[str, ModelVersions] = {}
        self._entries: OrderedDict[tuple[str, int], _Entry] = OrderedDict()
        self._failed: dict[tuple[str, int], tuple[float, RequestError]] = {}
        self._timeouts = Timeouts(dataplane.timeout)
        self._lock = threading.Lock()

    def submit(
        self, name: str, version: str, payload: bytes, codec: Codec, request_id: str, done: Heard
    ) -> None:
        """Answer one request with the version of that name, without waiting; `done` gets the
        outcome, in any thread.
        """
        started = perf_counter()
        try:
            self._dataplane.model(name)
            found = self.find(name, version)
            current = self._dataplane.runners[name]
            if current.model.fitted is not None and current.model.fitted.number == found.number:
                runner: ModelRunner | None = current
            else:
                ticket = Ticket(0.0, lambda: None)
                request = _Waiting(payload, codec, request_id, started, done, ticket)
                runner = self._loaded(found, request)
        except RequestError as error:
            self._refuse(name, error, started, done)
            return
        if runner is not None:
            self._call(runner, payload, codec, request_id, done)

    def predict(
        self, name: str, version: str, payload: bytes, codec: Codec, request_id: str
    ) -> tuple[Outcome, LoadedModel | None]:
        """Answer one request with the version of that name, and wait for the outcome."""
        from concurrent.futures import Future

        future: Future[tuple[Outcome, LoadedModel | None]] = Future()

        def done(outcome: Outcome, model: LoadedModel | None) -> None:
            future.set_result((outcome, model))

        self.submit(name, version, payload, codec, request_id, done)
        return future.result()

    def find(self, name: str, version: str) -> FittedVersion:
        """Return the version with that label, key, name or number.

        Raises NotFitted, or UnknownVersion, which names those that there are.
        """
        if (stamp := self._fitted.stamp()) != self._stamp:
            self._known, self._stamp = self._fitted.known() or self._known, stamp
        versions = self._known.get(name)
        if versions is None or not versions.versions:
            raise NotFitted(f"{name} has no fitted version yet, so none is called {version[:100]}")
        if (found := versions.find(version)) is not None:
            return found
        named = sorted(versions.names, key=str)[:MAX_NAMED]
        numbers = [str(number) for number in sorted(versions.versions)[-MAX_NAMED:]]
        there = f"its versions are {', '.join(numbers)}"
        called = f"; names and labels: {', '.join(named)}" if named else ""
        raise UnknownVersion(f"{name} has no version {version[:100]!r}: {there}{called}")

    def forget(self, gone: Callable[[FittedVersion], bool]) -> None:
        """Free the versions for which `gone` is true."""
        with self._lock:
            keys = [
                key for key, entry in self._entries.items() if entry.runner and gone(entry.version)
            ]
            entries = [self._entries.pop(key) for key in keys]
            self._failed.clear()
        for entry in entries:
            self._retire(entry)

    # --- one request ------------------------------------------------------------------------------

    def _call(
        self, runner: ModelRunner, payload: bytes, codec: Codec, request_id: str, done: Heard
    ) -> None:
        model = runner.model
        self._dataplane.submit_to(
            runner, payload, codec, request_id, lambda outcome: done(outcome, model)
        )

    def _refuse(self, name: str, error: RequestError, started: float, done: Heard) -> None:
        if row := self._dataplane.counters.rows.get(name):
            row.observe(error.reason, perf_counter() - started)
        done(error, None)

    def _loaded(self, version: FittedVersion, request: _Waiting) -> ModelRunner | None:
        """Return the runner of a version, None if the request waits until it is loaded.

        Raises RequestError.
        """
        key = (version.model, version.number)
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and entry.runner is not None:
                self._entries.move_to_end(key)
                return entry.runner
            begins = entry is None
            if entry is None:
                entry = self._entries[key] = self._begin(key, version)
            elif len(entry.waiting) >= self._dataplane.max_queue:
                raise Overloaded(f"too many requests wait for version {version.number}; try again")
            request.ticket = self._timeouts.start(lambda: self._expire(version, request))
            entry.waiting.append(request)
        if begins:
            try:
                start_thread(lambda: self._load(key, entry), f"modelsync-version-{version.model}")
            except Overloaded as error:
                self._take(key, entry, error)
        return None

    def _begin(self, key: tuple[str, int], version: FittedVersion) -> _Entry:
        """Return the entry of a version that is about to be loaded. Called with the lock held."""
        until, error = self._failed.get(key, (0.0, None))
        if error is not None and monotonic() < until:
            raise error
        if sum(one.runner is None for one in self._entries.values()) >= MAX_LOADING:
            raise Overloaded("too many versions are being loaded at the moment; try again")
        return _Entry(version)

    def _expire(self, version: FittedVersion, request: _Waiting) -> None:
        timeout = f"{self._dataplane.timeout:g} s"
        error = DeadlineExceeded(
            f"version {version.number} of {version.model} has not been loaded within {timeout}"
        )
        self._refuse(version.model, error, request.started, request.done)

    # --- loading ----------------------------------------------------------------------------------

    def _load(self, key: tuple[str, int], entry: _Entry) -> None:
        """Load a version; in a thread of its own."""
        version = entry.version
        try:
            if not version.file.is_file():
                version = replace(version, file=self._fetched(version))
            current = self._dataplane.runners[version.model]
            found: ModelRunner | RequestError = bring_up(
                self._dataplane, current, version, self._load_limit
            )
        except RequestError as error:
            found = error
        except ModelsyncError as error:
            found = _explained(version, error)
        self._take(key, entry, found)

    def _fetched(self, version: FittedVersion) -> Path:
        """Return the artefact of a version, from the store. Raises ModelsyncError."""
        if (fetch := self._fetch()) is None:
            what = f"version {version.number} of {version.model}"
            raise ModelUnavailable(f"the artefact of {what} is not on this machine")
        return fetch(version)

    def _take(self, key: tuple[str, int], entry: _Entry, found: ModelRunner | RequestError) -> None:
        """Answer the requests that have waited for a version, and make room for it."""
        leaving: list[_Entry] = []
        with self._lock:
            waiting, entry.waiting = entry.waiting, []
            if isinstance(found, RequestError):
                self._entries.pop(key, None)
                self._failed[key] = (monotonic() + REMEMBERED, found)
            else:
                entry.runner = found
                leaving = self._exceeding(key[0])
        for request in waiting:
            if not request.ticket.claim():
                continue
            if isinstance(found, RequestError):
                self._refuse(key[0], found, request.started, request.done)
            else:
                self._call(found, request.payload, request.codec, request.request_id, request.done)
        for one in leaving:
            self._retire(one)

    def _exceeding(self, name: str) -> list[_Entry]:
        """Remove the versions of a model that were used longest ago, over the limit."""
        loaded = [key for key, one in self._entries.items() if key[0] == name and one.runner]
        return [self._entries.pop(key) for key in loaded[: -self._limit]]

    def _retire(self, entry: _Entry) -> None:
        assert entry.runner
        retire(entry.runner, lambda: True, self._dataplane.timeout + 5)


def _explained(version: FittedVersion, error: ModelsyncError) -> RequestError:
    """Return why a version cannot be called, as the error of a request."""
    if isinstance(error, ModelBroken) and isinstance(error.__cause__, VersionRefused):
        return error.__cause__
    return ModelUnavailable(f"version {version.number} of {version.model} does not load: {error}")
