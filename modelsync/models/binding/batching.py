"""Binds `transform_predict_batch(self, rows) -> list`; its signature decides what the rows are.

The method is called with the requests that have arrived together, one row each, and returns as many
dicts in the same order; an exception in that list fails only its own request. Clients still send
one row. A class may have this method alone.

| `rows` is annotated | it receives |
|---|---|
| not at all, or `list` | a list of what `transform_predict` takes: validated instances, or dicts |
| | of its validated and defaulted arguments; without that method, or where it |
| | takes any object, the `variables` objects as dicts |
| `list[dict]` | the same, but always dicts |
| `list[X]`, a pydantic model, dataclass or TypedDict | a list of validated instances |
| `pandas.DataFrame` | one DataFrame with a row per request, as `pandas.json_normalize` gives |

Instead of the list, the method may return a tuple, or a DataFrame with one row per request, or
yield one dict after the other.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from modelsync.errors import ModelBroken, ModelRaised
from modelsync.models.binding import signature, typehints
from modelsync.models.binding.methods import Form
from modelsync.models.binding.signature import VARIADIC
from modelsync.models.binding.typehints import Call, Schema, Variables
from modelsync.models.binding.validation import structure
from modelsync.models.convention import BATCH, FILE
from modelsync.models.types import Fault

LISTS = (list, Sequence, MutableSequence, Iterable, Collection)

CallBatch = Callable[[list[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class Batch:
    """How a model is called with several requests.

    `row` makes a row of `variables` and raises VariablesInvalid. `call` takes a list of rows and
    returns as many results; it raises what the method raises, and ModelRaised where the method
    returns no list. `schema` is the JSON schema of `variables`, None if any object is accepted.
    """

    row: Call
    call: CallBatch
    schema: Schema | None

    def one(self, variables: Variables) -> Any:
        """Call a batch of one row, for a model that has no other method."""
        results = self.call([self.row(variables)])
        if len(results) != 1:
            raise ModelRaised("ValueError", f"{BATCH} returned {len(results)} results for 1 row")
        if isinstance(results[0], Exception):
            raise results[0]
        return results[0]


def bind(batch: Callable[..., Any], single: Form | None) -> Batch:
    """Read the signature of the batch method.

    `single` is the form of `transform_predict`, None if the class has no such method. Raises
    ModelBroken if the signature does not take rows.
    """
    parameter, function = _rows_parameter(batch)
    kind = typehints.without_none(typehints.resolve(parameter, function))
    single = single or Form("object")
    if typehints.is_dataframe(kind):
        return Batch(_dict(single), _listed(_normalized(batch)), single.schema)
    row = _row_type(parameter, kind)
    if row is Any and single.validate and single.kind == "structure":
        return Batch(single.validate, _listed(batch), single.schema)
    if row is Any or typehints.is_dict(row):
        return Batch(_dict(single), _listed(batch), single.schema)
    validate, schema = structure(parameter.name, row)
    return Batch(validate, _listed(batch), schema)


def _rows_parameter(batch: Callable[..., Any]) -> tuple[inspect.Parameter, Callable[..., Any]]:
    """Return the parameter that takes the rows, and the function whose it is."""
    if signature.is_async(batch, BATCH):
        raise _broken(f"async def {BATCH}: a batch is called, not awaited", "make it a plain def")
    parameters, function = signature.of(batch, BATCH)
    required = [one for one in parameters if one.default is one.empty and one.kind not in VARIADIC]
    by_place = [one for one in parameters if one.kind not in (one.KEYWORD_ONLY, one.VAR_KEYWORD)]
    if not by_place or any(one is not by_place[0] for one in required):
        raise _broken(
            f"{BATCH} must take one argument: the rows", f"def {BATCH}(self, rows: list) -> list"
        )
    parameter = by_place[0]
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return parameter.replace(annotation=inspect.Parameter.empty), function
    return parameter, function


def _row_type(parameter: inspect.Parameter, kind: Any) -> Any:
    """Return the type of one row; Any if the annotation does not say."""
    if kind in (Any, object) or kind in LISTS:
        return Any
    if get_origin(kind) in LISTS:
        row = typehints.without_none(get_args(kind)[0])
        if row in (Any, object):
            return Any
        if typehints.is_dict(row) or typehints.is_structure(row):
            return row
    shown = kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else kind
    hint = (
        "take list, list[dict], a list of a pydantic model, dataclass or TypedDict, "
        "or a pandas.DataFrame"
    )
    raise _broken(f"{BATCH}: parameter {parameter.name}: {shown} is no list of rows", hint)


def _broken(message: str, hint: str) -> ModelBroken:
    return ModelBroken(Fault("load", message, FILE, hint=hint))


# --- rows -----------------------------------------------------------------------------------------


def _unchanged(variables: Variables) -> Any:
    return variables


def _dict(single: Form) -> Call:
    """Return the function that makes rows which are dicts; it refuses what `single` refuses."""
    if (validate := single.validate) is None:
        return _unchanged
    if single.kind == "arguments":
        named = [one for one in single.parameters if one.kind not in VARIADIC]
        defaults = {one.name: one.default for one in named if one.default is not one.empty}
        return lambda variables: {**defaults, **validate(variables)}

    def check(variables: Variables) -> Any:
        validate(variables)
        return variables

    return check


# --- the call -------------------------------------------------------------------------------------


def _normalized(batch: Callable[[Any], Any]) -> Callable[[list[Any]], Any]:
    # Imported here: a service without such models never loads pandas.
    from pandas import json_normalize

    return lambda rows: batch(json_normalize(rows))


def _listed(batch: Callable[[Any], Any]) -> CallBatch:
    def call(rows: list[Any]) -> list[Any]:
        results = batch(rows)
        if isinstance(results, list):
            return results
        if isinstance(results, tuple) or inspect.isgenerator(results):
            return list(results)
        if typehints.is_dataframe(type(results)):
            records: list[Any] = results.to_dict("records")
            return records
        raise ModelRaised("TypeError", f"{BATCH} returned {type(results).__name__}, not a list")

    return call
