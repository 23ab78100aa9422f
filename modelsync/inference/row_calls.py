"""Calls a model for the rows of one request, whose `variables` are a list of objects.

A model that takes a DataFrame is called once with all rows, and so is one that takes batches;
others are called for one row after another. The request is answered as a whole or not at all: an
error names the row, variables that do not fit are named for all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from modelsync.errors import InvalidField, ModelRaised, RequestError, VariablesInvalid
from modelsync.models import rejection, results
from modelsync.models.request_form import Rows
from modelsync.models.simpler_values import simpler
from modelsync.models.types import LoadedModel

MOST_WRONG = 100
"""Wrong fields from which on no more rows are looked at."""


class SeveralRows(Exception):
    """A request has several rows; raised where a model is called for one only."""


class RowRaised(Exception):
    """What a model has raised for one row, its `__cause__`; `row` counts from 0."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


def call(model: LoadedModel, rows: Rows) -> object:
    """Return the results of all rows, or what the model answers to a DataFrame of them.

    Raises VariablesInvalid, RequestRejected and RowRaised, which name the row, and what the model
    raises for all rows at once.
    """
    if not rows:
        return Rows()
    if model.form.frame:
        with model.lock or nullcontext():
            return _of_frame(model.call(rows))  # type: ignore[arg-type]
    if model.call_batch:
        return _in_a_batch(model, rows)
    return _one_by_one(model, rows)


async def call_async(model: LoadedModel, rows: Rows) -> object:
    """Do as `call` with an `async def`, for one row after another."""
    found = _Found()
    if rows and model.form.frame:
        return _of_frame(await model.call(rows))  # type: ignore[arg-type]
    for row in rows:
        with found.row():
            found.add(await model.call(row))
    return found.all()


def _one_by_one(model: LoadedModel, rows: Rows) -> Rows:
    found = _Found()
    for row in rows:
        with found.row(), model.lock or nullcontext():
            found.add(model.call(row))
    return found.all()


def _in_a_batch(model: LoadedModel, rows: Rows) -> Rows:
    """Call the model once for all rows; if that raises, for each alone, to tell which one it is."""
    assert model.bind
    assert model.call_batch
    bound, found = _Found(), _Found()
    for row in rows:
        with bound.row():
            bound.values.append(model.bind(row))
    called = bound.all()
    try:
        with model.lock or nullcontext():
            answers = model.call_batch(called)
    except Exception:
        if len(rows) == 1:
            raise
        return _one_by_one(model, rows)
    if len(answers) != len(rows):
        message = f"transform_predict_batch returned {len(answers)} results for {len(rows)} rows"
        raise ModelRaised("ValueError", message)
    for answer in answers:
        with found.row():
            if isinstance(answer, Exception):
                raise answer
            found.add(answer)
    return found.all()


def _of_frame(result: object) -> object:
    """Return the answer to a DataFrame: a dict as it is, else a list, also of what becomes one."""
    if isinstance(result, dict):
        return result
    try:
        simple = result if isinstance(result, list) else simpler(result)
    except TypeError:
        simple = None
    return Rows(simple) if isinstance(simple, list) else results.as_dict(result)


class _Found:
    """What was found for each row so far: `values`, or what is wrong with the variables."""

    def __init__(self) -> None:
        self.values = Rows()
        self._wrong: list[InvalidField] = []
        self._row = 0

    @contextmanager
    def row(self) -> Iterator[None]:
        """Look at the next row: keep what does not fit, name the row in all else it raises."""
        try:
            yield
        except VariablesInvalid as error:
            self._wrong += [
                InvalidField(f"{self._row}.{one.field}", one.message) for one in error.fields
            ]
            if len(self._wrong) >= MOST_WRONG:
                self.all()
        except Exception as error:
            if self._wrong:
                self.all()
            raise _at(self._row, error) from error
        self._row += 1

    def add(self, result: object) -> None:
        """Keep the result of a row. Raises ModelRaised if it is no dict, nor becomes one."""
        self.values.append(results.as_dict(result))

    def all(self) -> Rows:
        """Return the values of all rows. Raises VariablesInvalid if one does not fit."""
        if self._wrong:
            raise VariablesInvalid(self._wrong[:MOST_WRONG])
        return self.values


def _at(row: int, error: Exception) -> Exception:
    """Return the error of one row, which names it."""
    if rejected := rejection.of(error):
        rejected.row = row
        return rejected
    if isinstance(error, RequestError) and not isinstance(error, ModelRaised):
        return error
    return RowRaised(row)
