"""Answers the requests of trainable models: `variables`, tables, batches of both."""

from __future__ import annotations

import inspect
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.binding.calls import Calls
from modelsync.models.binding.typehints import Call
from modelsync.models.request_form import PLAIN
from modelsync.models.tables import alignment, answers
from modelsync.models.tables.table import Table
from modelsync.models.training import estimates
from modelsync.models.training.estimates import Predict
from modelsync.models.training.unfitted import explained, is_unfitted, not_fitted
from modelsync.models.types import ModelSpec
from modelsync.models.versions import FittedVersion, TableSchema


def bind(
    spec: ModelSpec, instance: Any, single: Calls | None, fitted: FittedVersion | None
) -> Calls:
    """Decide how a trainable model answers.

    `single`: the calls of its `transform_predict`, None if its class has no such method. `fitted`:
    the version that its instance has. Raises ModelBroken if what was fitted cannot predict.
    """
    if fitted is not None:
        place = f"version {fitted.number}"
        return bind_to(spec, instance, single, fitted.inputs, place=place, ready=True)
    ready = estimates.is_ready(instance)
    try:
        return bind_to(spec, instance, single, None, place="self.model", ready=ready)
    except ModelBroken:  # a model of the folder that waits for its `fit`
        return bind_to(spec, instance, single, None, place="self.model", ready=False)


def bind_to(
    spec: ModelSpec,
    instance: Any,
    single: Calls | None,
    inputs: TableSchema | None,
    *,
    place: str,
    ready: bool,
) -> Calls:
    """Decide it for data of these `inputs`; `place` names what was fitted, for messages.

    `ready`: something is fitted. Raises ModelBroken.
    """
    predict = estimates.find(instance, inputs)
    is_async = single.is_async if single else estimates.is_async(instance)
    if single is None and (ready or estimates.has_own(instance)):
        single = estimates.single(instance, inputs, predict, place)
    names = [column.name for column in inputs.columns] if inputs and inputs.form == "frame" else []
    answer = _Answers(spec, instance, single, predict, ready, names)
    call: Call = answer.call_async if is_async else answer.call
    if ready and single and not is_async:
        call = _direct(single.call, answer.call)
    schema = single.schema if single else None
    if single and single.call_batch and not is_async:
        return Calls(call, schema, answer.bind, answer.call_batch, form=single.form)
    return Calls(call, schema, is_async=is_async, form=single.form if single else PLAIN)


def _direct(single: Call, tables: Call) -> Call:
    """Call a model that is fitted: most requests are `variables`, and need nothing more."""
    return lambda variables: single(variables) if type(variables) is dict else tables(variables)


class _Answers:
    """Answers requests of one model; `ready`: it has something fitted, on columns of these `names`
    if they had some.
    """

    def __init__(
        self,
        spec: ModelSpec,
        instance: Any,
        single: Calls | None,
        predict: Predict | None,
        ready: bool,
        names: list[str],
    ) -> None:
        self._spec = spec
        self._instance = instance
        self._single = single
        self._predict = predict
        self._ready = ready
        self._names = names

    def call(self, variables: dict[str, Any]) -> Any:
        """Answer one request. Raises NotFitted if nothing is fitted that it needs."""
        try:
            if type(variables) is Table:
                return self._table(variables)
            if self._single is None:
                raise not_fitted(self._spec)
            return self._single.call(variables)
        except Exception as error:
            self._explain(error)
            raise

    async def call_async(self, variables: dict[str, Any]) -> Any:
        """Answer one request with an `async def`; raises as `call` does."""
        try:
            if type(variables) is Table:
                return await self._table_async(variables)
            if self._single is None:
                raise not_fitted(self._spec)
            found = self._single.call(variables)
            return await found if inspect.isawaitable(found) else found
        except Exception as error:
            self._explain(error)
            raise

    def _explain(self, error: Exception) -> None:
        if not self._ready and is_unfitted(error, self._instance):
            raise explained(self._spec, error) from error

    def _table(self, table: Table) -> dict[str, Any]:
        predict = self._predict
        if predict is None:
            return self._by_row(table)
        x, rows = predict.rows(table)
        probabilities = predict.probabilities if table.form == "data" else None
        try:
            found = predict.call(x), probabilities and probabilities(x)
        except Exception as error:
            predict.explain(table, error)
            raise
        return answers.answer(table, rows, *found)

    async def _table_async(self, table: Table) -> dict[str, Any]:
        predict = self._predict
        if predict is None:
            return await self._by_row_async(table)
        x, rows = predict.rows(table)
        predicted = predict.call(x)
        predicted = await predicted if inspect.isawaitable(predicted) else predicted
        return answers.answer(table, rows, predicted)

    def _rows_of(self, table: Table) -> list[dict[str, Any]]:
        """Return the `variables` of each row, for a model that only answers those."""
        if self._single is None:
            raise not_fitted(self._spec)
        columns = alignment.align(table, None)
        named = table.named or len(self._names) != len(columns)
        names = list(columns) if named else self._names
        return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _by_row(self, table: Table) -> dict[str, Any]:
        rows = self._rows_of(table)
        assert self._single
        return answers.answer(table, len(rows), [self._single.call(row) for row in rows])

    async def _by_row_async(self, table: Table) -> dict[str, Any]:
        rows = self._rows_of(table)
        assert self._single
        found = [self._single.call(row) for row in rows]
        values = [await one if inspect.isawaitable(one) else one for one in found]
        return answers.answer(table, len(rows), values)

    # --- batches ----------------------------------------------------------------------------------

    def bind(self, variables: dict[str, Any]) -> Any:
        """Make a row of a request's variables; a table stays what it is."""
        if type(variables) is Table:
            return variables
        assert self._single
        return self._single.bind(variables) if self._single.bind else variables

    def call_batch(self, rows: list[Any]) -> list[Any]:
        """Answer several requests: all rows in one call, and each table in one of its own."""
        single = self._single
        assert single
        assert single.call_batch
        plain = [row for row in rows if type(row) is not Table]
        try:
            found = iter(single.call_batch(plain) if plain else [])
        except Exception as error:
            self._explain(error)
            raise
        if len(plain) == len(rows):
            return list(found)
        return [self._alone(row) if type(row) is Table else next(found) for row in rows]

    def _alone(self, table: Table) -> Any:
        try:
            return self.call(table)
        except Exception as error:  # noqa: BLE001  it fails only its own request
            return error
