"""`transform_predict_batch(self, rows) -> list`: what its rows are, decided once, from its signature, at load.

It is called with the requests that have arrived together, a row each, and returns as many dicts in the same order; an
exception in that list fails its own request alone. Clients still send one row, and a class may have this method alone.

| `rows` is annotated | it receives |
|---|---|
| not at all, or `list` | a list of what `transform_predict` takes: validated instances, or dicts of its validated and |
| | defaulted arguments; without that method, or where it takes any object, the `variables` objects as dicts |
| `list[dict]` | the same, but always dicts |
| `list[X]`, a pydantic model, dataclass or TypedDict | a list of validated instances |
| `pandas.DataFrame` | one DataFrame with a row per request, as `pandas.json_normalize` gives |

`tuple` or a DataFrame with a row each may be returned in place of the list.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, MutableSequence, Sequence
from typing import Any, get_args, get_origin

from modelsync.errors import ModelBroken, ModelRaised
from modelsync.models import binding
from modelsync.models.binding import Call, Form, Schema, Variables
from modelsync.models.contract import Fault
from modelsync.models.source import BATCH, FILE

LISTS = (list, Sequence, MutableSequence, Iterable, Collection)

CallBatch = Callable[[list[Any]], list[Any]]


def bind(batch: Callable[..., Any], single: Form | None) -> tuple[Call, CallBatch, Schema | None]:
    """Give the function that makes a row of `variables`, the one that calls the method with rows, and a row's schema.

    `single` is the form of `transform_predict`, None where the class has none. The first function raises
    VariablesInvalid, the second what the method raises, and ModelRaised where it returns no list. Raises ModelBroken
    where the signature does not take rows.
    """
    parameter = _rows(batch)
    kind = binding.without_none(binding.resolve(parameter, batch))
    call = _by_keyword(batch, parameter.name) if parameter.kind is inspect.Parameter.KEYWORD_ONLY else batch
    single = single or Form("object")
    if binding.is_dataframe(kind):
        return _dict(single), _listed(_normalized(call)), single.schema
    row = _row(parameter, kind)
    if row in (Any, object):
        return single.validate or _as_it_is, _listed(call), single.schema
    if binding.is_dict(row):
        return _dict(single), _listed(call), single.schema
    validate, schema = binding.structure(parameter.name, row)
    return validate, _listed(call), schema


def one_by_one(row: Call, call: CallBatch) -> Call:
    """A batch of one: how a model is called that has no other method."""

    def predict(variables: Variables) -> Any:
        results = call([row(variables)])
        if len(results) != 1:
            raise ModelRaised("ValueError", f"{BATCH} returned {len(results)} results for 1 row")
        if isinstance(results[0], Exception):
            raise results[0]
        return results[0]

    return predict


def _rows(batch: Callable[..., Any]) -> inspect.Parameter:
    signature = inspect.signature(batch)
    if inspect.iscoroutinefunction(batch):
        raise _broken(f"async def {BATCH}: a batch is called, not awaited", "make it a plain def")
    parameters = list(signature.parameters.values())
    required = [one for one in parameters if one.default is one.empty and one.kind not in binding.VARIADIC]
    if len(required) > 1 or not parameters or parameters[0].kind is inspect.Parameter.VAR_KEYWORD:
        raise _broken(f"{BATCH} must take one argument: the rows", f"def {BATCH}(self, rows: list) -> list")
    parameter = (required or parameters)[0]
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return parameter.replace(annotation=inspect.Parameter.empty)
    return parameter


def _row(parameter: inspect.Parameter, kind: Any) -> Any:
    """The type of one row; Any where it is not said."""
    if kind in (Any, object) or kind in LISTS:
        return Any
    if get_origin(kind) in LISTS:
        row = binding.without_none(get_args(kind)[0])
        if row in (Any, object) or binding.is_dict(row) or binding.is_structure(row):
            return row
    shown = kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else kind
    hint = "take list, list[dict], a list of a pydantic model, dataclass or TypedDict, or a pandas.DataFrame"
    raise _broken(f"{BATCH}: parameter {parameter.name}: {shown} is no list of rows", hint)


def _broken(message: str, hint: str) -> ModelBroken:
    return ModelBroken(Fault("load", message, FILE, hint=hint))


# --- a row ------------------------------------------------------------------------------------------------------------


def _as_it_is(variables: Variables) -> Any:
    return variables


def _dict(single: Form) -> Call:
    """A row that is a dict. What `transform_predict` refuses is refused here too."""
    if (validate := single.validate) is None:
        return _as_it_is
    if single.kind == "arguments":
        return validate

    def check(variables: Variables) -> Any:
        validate(variables)
        return variables

    return check


# --- the call ---------------------------------------------------------------------------------------------------------


def _by_keyword(batch: Callable[..., Any], name: str) -> Callable[[Any], Any]:
    return lambda rows: batch(**{name: rows})


def _normalized(batch: Callable[[Any], Any]) -> Callable[[list[Any]], Any]:
    from pandas import json_normalize  # only now: a service without such models never pays for pandas

    return lambda rows: batch(json_normalize(rows))


def _listed(batch: Callable[[Any], Any]) -> CallBatch:
    def call(rows: list[Any]) -> list[Any]:
        results = batch(rows)
        if isinstance(results, list):
            return results
        if isinstance(results, tuple):
            return list(results)
        if binding.is_dataframe(type(results)):
            records: list[Any] = results.to_dict("records")
            return records
        raise ModelRaised("TypeError", f"{BATCH} returned {type(results).__name__}, not a list")

    return call
