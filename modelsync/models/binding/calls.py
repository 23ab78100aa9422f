"""How a model is called with requests, by the predicting methods of its class."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.binding import batching, methods, signature
from modelsync.models.binding.typehints import Call, Schema, Variables
from modelsync.models.convention import BATCH, FILE, METHOD
from modelsync.models.request_form import PLAIN, RequestForm
from modelsync.models.types import Fault


@dataclass(frozen=True, slots=True)
class Calls:
    """The functions that answer requests: the members of `LoadedModel` of these names.

    `call` takes `variables` and returns the result, for an `async def` (`is_async`) an awaitable;
    of a trainable model it takes tables too. `bind` and `call_batch` are those of a model that
    takes several requests at once. `form`: how it takes numbers and rows.
    """

    call: Call
    schema: Schema | None
    bind: Call | None = None
    call_batch: Callable[[list[Any]], list[Any]] | None = None
    is_async: bool = False
    form: RequestForm = PLAIN


def of_instance(instance: object, *, dataframe: bool) -> Calls | None:
    """Bind the predicting methods of an instance, or functions of a module; None if it has none.

    `dataframe` as for `methods.bind`. Raises ModelBroken if they cannot be called.
    """
    method, rows = method_of(instance, METHOD), method_of(instance, BATCH)
    is_async = signature.is_async(method, METHOD)
    if is_async and rows:  # the static check has not seen both: one of them is inherited
        message = f"async def {METHOD} beside {BATCH}: a batch is called, not awaited"
        raise ModelBroken(Fault("load", message, FILE))
    form = methods.form_of(method, dataframe=dataframe) if method else None
    batch = batching.bind(rows, form) if rows else None
    call = methods.caller(method, form) if method and form else None
    if call and is_async and not inspect.iscoroutinefunction(method):
        call = _awaiting(call)
    if batch:
        taken = RequestForm(form.digits if form else "integers")
        return Calls(call or batch.one, batch.schema, batch.row, batch.call, form=taken)
    if call is None or form is None:
        return None
    taken = RequestForm(form.digits, frame=form.kind == "dataframe")
    return Calls(call, form.schema, is_async=is_async, form=taken)


def method_of(instance: object, name: str) -> Callable[..., Any] | None:
    """Return what an instance has under this name, None if that cannot be called.

    What `__getattr__` makes up counts for `transform_predict` alone: a proxy has every method.
    """
    if name != METHOD and inspect.getattr_static(instance, name, None) is None:
        return None
    found = getattr(instance, name, None)
    return found if callable(found) else None


def _awaiting(call: Call) -> Call:
    """Return a coroutine function for a call below a plain wrapper, which may answer by itself."""

    async def awaiting(variables: Variables) -> Any:
        found = call(variables)
        return await found if inspect.isawaitable(found) else found

    return awaiting
