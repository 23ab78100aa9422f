"""Trained models as resources see them: the store, versions as JSON, what the workers serve."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flask import request

from modelsync.api import replies
from modelsync.api.preferences import Waiting, WaitingResponse
from modelsync.api.resource import Context
from modelsync.errors import DataInvalid, NotTrainable, RequestError, StoreUnavailable, UnknownModel
from modelsync.models.types import ModelEntry, ModelName
from modelsync.problems import Answer, answer
from modelsync.releases.fitted import FittedVersions, ModelVersions
from modelsync.store.records import ModelRecord, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Response

    from modelsync.server.auth import Scope

_FLAGS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}

SETTLED_WITHIN = 10.0
"""Seconds for which a change waits until the workers of this machine have taken it over: on a busy
machine each of them may import the libraries of a first version for longer than a moment.
"""

NEWS = timedelta(seconds=30)
"""For so long a version is news, which the workers may not have heard yet."""

METHODS = ("GET", "HEAD", "OPTIONS", "POST")
"""What every model's URL takes; a model that is trained takes PUT, PATCH and DELETE too."""


class TrainedModels:
    """The trained models of one service; `store` opens the store of this process."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.service = context.service
        self.store = context.store
        self.fitted = FittedVersions(context.service.settings.state.home)

    def entry(self, name: str, method: str = "", verb: str = "") -> ModelEntry:
        """The model of that name, if it is trained, and has a method of that name.

        Raises UnknownModel with similar names; NotTrainable, which says what it lacks and what it
        takes.
        """
        if (entry := self.service.entries.get(ModelName(name))) is None:
            self.service.dataplane.model(name)  # raises, with similar names
            raise UnknownModel(name)
        spec = entry.spec
        kind = "a ready-made artefact" if spec.artefact else "plain code"
        if not spec.trainable:
            raise NotTrainable(
                f"{name} has no method fit: it is {kind} and has no fitted versions", METHODS
            )
        if method and method not in spec.methods:
            allowed = (*METHODS, "PUT", "DELETE")
            raise NotTrainable(f"{name} has no method {method}, which {verb} needs", allowed)
        return entry

    def require(self, name: str, scope: Scope, method: str = "", verb: str = "") -> ModelEntry:
        """Check the token of the current request, then the model; return that.

        Who may predict is told that a model cannot be trained.
        """
        self.context.require("predict")
        entry = self.entry(name, method, verb)
        self.context.require(scope)
        return entry

    # --- what serves ------------------------------------------------------------------------------

    def settled(self, model: str) -> bool:
        """Whether the processes of this machine serve what the store says of a model, or know that
        they cannot.
        """
        return self._serves(self.store().catalog.model(model))

    def _serves(self, record: ModelRecord) -> bool:
        model = record.model
        known = self.fitted.read().get(model, ModelVersions())
        if (known.current, set(known.versions)) != (record.current, _numbers(record)):
            return False
        keys = {one.key: one.number for one in record.versions}
        if known.names != {**keys, **record.labels}:
            return False
        return self.fitted.heard(model, record.current)

    def when_settled(self, model: str, make: Callable[[], Answer]) -> Response:
        """A response that is made once the workers have taken over the change of a model."""
        waiting = self.waiting(SETTLED_WITHIN)
        return self.later(lambda: make() if waiting.over or self.settled(model) else None)

    def when_heard(self, model: str, make: Callable[[], Answer]) -> Response:
        """A response that tells of versions: made once the workers have heard of those that are
        new, so that a request that follows the news is answered by them.
        """
        waiting = self.waiting(SETTLED_WITHIN)

        def told() -> Answer | None:
            found = make()  # first: what it tells was so before it is compared
            return found if waiting.over or self._has_heard(model) else None

        return self.later(told)

    def _has_heard(self, model: str) -> bool:
        try:
            record = self.store().catalog.model(model)
        except StoreUnavailable:
            return True
        return not any(is_news(one.created) for one in record.versions) or self._serves(record)

    def waiting(self, seconds: float) -> Waiting:
        """The time for which an answer waits; the end of this process ends it."""
        return Waiting(seconds, lambda: self.service.draining)

    def later(self, make: Callable[[], Answer | None]) -> Response:
        """A response that is made as soon as `make` returns an answer; its errors are answered."""
        identity, release = replies.request_id(), self.service.commit
        name = (request.view_args or {}).get("name")

        def safely() -> Answer | None:
            try:
                return make()
            except RequestError as error:
                return answer(error, request_id=identity, model=name, release=release)

        first = make()
        return replies.respond(first) if first else WaitingResponse(safely)

    # --- as JSON ----------------------------------------------------------------------------------

    def url(self, model: str, *parts: object) -> str:
        """The path of a model's resource."""
        return "/".join([self.context.base, model, *map(str, parts)])

    def version(self, version: Version, record: ModelRecord) -> dict[str, Any]:
        """All that is known of a version. `current`: predictions are made with it."""
        made = version.made
        labels = sorted(one for one, number in record.labels.items() if number == version.number)
        return {
            "number": version.number,
            "key": version.key,
            "labels": labels,
            "current": version.number == record.current,
            "created": version.created.isoformat(),
            "origin": version.origin,
            "job": version.job,
            "parent": version.parent,
            "code": version.code,
            "commit": version.commit or None,
            "fingerprint": made.fingerprint or None,
            "params": version.params,
            "metrics": made.metrics,
            "rows": made.rows,
            "inputs": made.inputs,
            "serializer": made.serializer,
            "size": made.size,
            "sha256": made.sha256,
            "libraries": made.libraries,
            "call_seconds": made.call_seconds,
            "verdict": version.verdict or None,
            "url": self.url(version.model, "versions", version.number),
        }

    def versions(self, record: ModelRecord) -> list[dict[str, Any]]:
        """All versions of a model, the newest first."""
        return [self.version(one, record) for one in reversed(record.versions)]

    def current(self, record: ModelRecord) -> Mapping[str, Any] | None:
        """The version with which predictions are made."""
        found = [one for one in record.versions if one.number == record.current]
        return self.version(found[0], record) if found else None


def is_news(time: datetime) -> bool:
    """Whether something has happened so lately that the workers may not have heard of it."""
    return datetime.now(UTC) - time < NEWS


def flag(name: str) -> bool:
    """Whether the current request has a query parameter that is true.

    Raises DataInvalid if it is neither true nor false, or comes twice.
    """
    given = [text.strip().lower() for text in request.args.getlist(name)]
    if len(given) > 1 or not set(given) <= _FLAGS.keys():
        raise DataInvalid(f"{name}: expected true or false, got {', '.join(given)[:100]!r}")
    return bool(given) and _FLAGS[given[0]]


def _numbers(record: ModelRecord) -> set[int]:
    return {one.number for one in record.versions}
