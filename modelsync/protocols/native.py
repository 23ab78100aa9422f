"""The native protocol: a request is `{"variables": {...}}`, an answer the model's result as JSON.

Failures are problem documents (RFC 9457), also as members of the answer of `/all`.
"""

from __future__ import annotations

import orjson

from modelsync import problems
from modelsync.inference.fanout import Outcomes
from modelsync.inference.outcome import Outcome
from modelsync.models import results
from modelsync.models.types import LoadedModel
from modelsync.problems import Answer
from modelsync.protocols import json_body


class NativeCodec:
    """The codec of the data plane, with `answer` and `answer_all` for HTTP."""

    decode = staticmethod(json_body.parse)
    decode_exactly = staticmethod(json_body.parse_exactly)
    encode = staticmethod(results.dump)

    def answer(
        self,
        outcome: Outcome,
        *,
        name: str,
        model: LoadedModel | None,
        release: str | None,
        request_id: str,
    ) -> Answer:
        """Return the answer of a request for the model `name`; `model` is None if not loaded."""
        if isinstance(outcome, bytes):
            return Answer(200, outcome, version=model.version if model else "")
        return problems.answer(outcome, request_id=request_id, model=name, release=release)

    def answer_all(
        self, outcomes: Outcomes, *, flat: bool, release: str | None, request_id: str
    ) -> Answer:
        """Return one JSON object with each model's result, or its problem, under the model's name.

        `flat` merges the members of all results into one object; problems keep their names.
        """
        bodies = {
            name: outcome
            if isinstance(outcome, bytes)
            else problems.answer(outcome, request_id=request_id, model=name, release=release).body
            for name, outcome in outcomes.items()
        }
        if not flat:
            members = b",".join(orjson.dumps(name) + b":" + body for name, body in bodies.items())
            return Answer(200, b"{%b}" % members)
        merged: dict[str, object] = {}
        for name, body in bodies.items():
            found = orjson.loads(body)
            has_names = isinstance(outcomes[name], bytes) and isinstance(found, dict)
            merged.update(found if has_names else {name: found})
        return Answer(200, orjson.dumps(merged))


NATIVE = NativeCodec()
