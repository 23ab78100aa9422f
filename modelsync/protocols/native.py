"""The native protocol: a request is `{"variables": {...}}`, an answer the model's result as JSON.

Failures are problem documents (RFC 9457), also as members of the answer of `/all`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import orjson

from modelsync import json_text, plain_json, problems
from modelsync.inference.fanout import Outcomes
from modelsync.inference.outcome import Outcome
from modelsync.models import results
from modelsync.models.types import LoadedModel
from modelsync.problems import Answer
from modelsync.protocols import json_body

COLLISIONS = "X-Modelsync-Collisions"
MAX_TOLD = 1000
"""Characters of a field that names members which several models have."""


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

        `flat` merges the members of all results into one object; problems and lists keep the names
        of their models. A member that several models have is that of the last one: the field
        `X-Modelsync-Collisions` names it, and these models.
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
        merged, collisions = _merged(bodies, outcomes)
        told = "; ".join(f"{key}={','.join(names)}" for key, names in collisions.items())
        headers = ((COLLISIONS, quote(told[:MAX_TOLD], safe=" =,;")),) if told else ()
        return Answer(200, merged, headers=headers)


def _merged(bodies: Mapping[str, bytes], outcomes: Outcomes) -> tuple[bytes, dict[str, list[str]]]:
    """Return the members of all answers in one object, and which models share a member."""
    merged: dict[str, object] = {}
    owners: dict[str, list[str]] = {}
    for name, body in bodies.items():
        found = _read(body)
        has_members = isinstance(outcomes[name], bytes) and isinstance(found, dict)
        own = found if has_members else {name: found}
        merged |= own
        for key in own:
            owners.setdefault(key, []).append(name)
    collisions = {key: names for key, names in owners.items() if len(names) > 1}
    return results.dump(merged, sys.maxsize), collisions


def _read(body: bytes) -> Any:
    """Return an answer with all digits of its numbers."""
    if json_text.has_long_number(body):
        return plain_json.loads_exactly(body, decimals=True)
    return orjson.loads(body)


NATIVE = NativeCodec()
