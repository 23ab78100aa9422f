"""A sampled request as one line of JSON, without what is masked.

    {"id", "model", "code", "number", "time", "rows", "columns": {name: [...]}, "result"}

`number` is that of the fitted version, null without one; `time` in seconds since 1970. `variables`
are a table of one row. Of a request with many rows, those of `agreement.kept` are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelsync import json_text
from modelsync.inference.codec import Codec
from modelsync.inference.masking import masked
from modelsync.models.data_schema import DataSchema
from modelsync.models.request_form import Rows
from modelsync.models.schemas.requests import RequestSchema
from modelsync.models.statistics.agreement import kept
from modelsync.models.tables.table import Table
from modelsync.models.types import LoadedModel

MAX_LINE = 256 * 1024
"""Bytes of a line: of a request whose rows need more, fewer rows are kept, or none of it."""

MAX_KNOWN = 1_000
"""Schemas whose checks stay in memory."""

_known: dict[int, tuple[DataSchema, RequestSchema]] = {}

Columns = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class SampledRequest:
    """A request and its result, as they came and went. `time`: in seconds since 1970."""

    time: float
    model: LoadedModel
    codec: Codec
    request_id: str | bytes
    payload: bytes
    result: bytes


def line_of(taken: SampledRequest, mask: frozenset[str]) -> bytes:
    """Return a request as a line; empty if it is too large.

    `mask`: names in lower case, whose values are removed at any depth. Raises what the codec does.
    """
    model = taken.model
    identity = taken.request_id
    columns, rows, known = _columns(taken)
    if mask and not known:  # nobody knows which of them is masked
        columns = {}
    result = json_text.loads(taken.result)
    record: dict[str, Any] = {
        "id": identity.decode() if isinstance(identity, bytes) else identity,
        "model": str(model.name),
        "code": model.spec.version,
        "number": model.fitted.number if model.fitted else None,
        "time": taken.time,
        "rows": rows,
    }
    for share in (kept(rows), range(0, rows, -(-rows // 10) or 1)):
        record["columns"] = {
            name: [masked(values[place], mask) for place in share]
            for name, values in columns.items()
            if name.casefold() not in mask
        }
        record["result"] = masked(_of_rows(result, rows, share), mask)
        line = _dump(record)
        if len(line) <= MAX_LINE:
            return line + b"\n"
    return b""


def _dump(record: dict[str, Any]) -> bytes:
    try:
        return json_text.dumps(record)
    except TypeError:
        return json_text.dump_lossy(record)


def _columns(taken: SampledRequest) -> tuple[Columns, int, bool]:
    """Return the columns of a request under the names that the version knows, how many rows they
    have, and whether those are their names.
    """
    found: Any = taken.codec.decode(taken.payload)
    if schema := taken.model.spec.schema:  # with its types and fill values, as the model gets them
        found = _requests_of(schema).typed(found)
    if type(found) is Rows:
        columns = dict.fromkeys(name for row in found for name in row)
        return {name: [row.get(name) for row in found] for name in columns}, len(found), True
    names = _names(taken.model)
    if not isinstance(found, Table):
        values = found.get("x")
        if len(found) == 1 and isinstance(values, list) and len(values) == len(names):
            return {name: [value] for name, value in zip(names, values, strict=True)}, 1, True
        return {name: [value] for name, value in found.items()}, 1, True
    if found.flat and len(names) > 1 and found.rows == len(names):  # one row
        values = next(iter(found.values()))
        return {name: [value] for name, value in zip(names, values, strict=True)}, 1, True
    if not found.named and len(names) == len(found):
        return dict(zip(names, found.values(), strict=True)), found.rows, True
    return dict(found), found.rows, found.named


def _requests_of(schema: DataSchema) -> RequestSchema:
    """Return what types the requests of a schema, which each model of a process has for good."""
    known = _known.get(id(schema))
    if known is None or known[0] is not schema:
        if len(_known) >= MAX_KNOWN:
            _known.clear()
        known = _known[id(schema)] = schema, RequestSchema(schema)
    return known[1]


def _names(model: LoadedModel) -> Sequence[str]:
    """Return the names of the columns that a model predicts from, in their order."""
    if model.fitted and model.fitted.inputs:
        return [column.name for column in model.fitted.inputs.columns]
    return list(model.artefact.features) if model.artefact else ()


def _of_rows(result: Any, rows: int, share: Sequence[int]) -> Any:
    """Return a result with a value for each of the rows that are kept, where it has one for all."""
    if isinstance(result, Mapping) and rows > len(share):
        return {name: _of_rows(value, rows, share) for name, value in result.items()}
    if isinstance(result, list) and len(result) == rows > len(share):
        return [result[place] for place in share]
    return result
