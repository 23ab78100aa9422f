"""Answers a table, several rows in one request, with an artefact.

Each row is validated and predicted as `{"variables": ...}` with its values would be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modelsync.errors import InvalidField, VariablesInvalid
from modelsync.models.artefacts.format import Features, LoadedArtefact
from modelsync.models.binding.invalid import MAX_FIELDS
from modelsync.models.tables import answers
from modelsync.models.tables.table import Table, shown, wrong


def call(artefact: LoadedArtefact, variables: dict[str, Any]) -> Any:
    """Answer one request: for a table in the form of the request, else for the one row of it.

    Raises VariablesInvalid, and what the artefact raises.
    """
    if type(variables) is not Table:
        return artefact.batch.one(variables)
    predictions, probabilities = predict(artefact, variables)
    return answers.answer(variables, len(predictions), predictions, probabilities)


def predict(artefact: LoadedArtefact, table: Table) -> tuple[list[Any], list[Any] | None]:
    """Return the prediction for each row, and the probabilities of the classes, in their order, if
    the model knows them.

    Columns that the artefact does not take are ignored. Raises VariablesInvalid, which names each
    column that is missing, and each value that does not fit, with the number of its row from 0.
    """
    batch = artefact.batch
    rows = _bound(artefact, table)
    if artefact.batches:
        outputs = batch.call(rows)
    else:
        outputs = [output for row in rows for output in batch.call([row])]
    if not all("prediction" in output for output in outputs):  # a graph with outputs of other names
        return outputs, None
    predictions = [output["prediction"] for output in outputs]
    if not all("probabilities" in output for output in outputs):
        return predictions, None
    return predictions, [_without_labels(output["probabilities"]) for output in outputs]


def _without_labels(probabilities: Any) -> Any:
    """Return the probabilities of one row as a list; of several outputs, a list for each."""
    if isinstance(probabilities, dict):
        return list(probabilities.values())
    return [_without_labels(one) if isinstance(one, dict) else one for one in probabilities]


# --- rows -----------------------------------------------------------------------------------------


def _bound(artefact: LoadedArtefact, table: Table) -> list[Any]:
    """Return the rows of a table as the artefact takes them. Raises VariablesInvalid."""
    rows: list[Any] = []
    wrong_values: list[InvalidField] = []
    for number, variables in enumerate(_variables(artefact.features, table)):
        try:
            rows.append(artefact.batch.row(variables))
        except VariablesInvalid as error:
            wrong_values += [
                InvalidField(one.field, f"row {number}: {one.message}") for one in error.fields
            ]
            if len(wrong_values) >= MAX_FIELDS:
                break
    if wrong_values:
        raise VariablesInvalid(wrong_values[:MAX_FIELDS])
    return rows


def _variables(features: Features, table: Table) -> Iterator[dict[str, Any]]:
    """Yield the `variables` of each row. Raises VariablesInvalid."""
    if features.given == "place":
        for values in zip(*_by_place(features, table), strict=True):
            yield {"x": list(values)}
        return
    if not table.named and features.names:
        columns = dict(zip(features.names, _by_place(features, table), strict=True))
    else:
        columns = _by_name(features, table)
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _by_name(features: Features, table: Table) -> dict[str, list[Any]]:
    """Return the columns that are taken, by name."""
    missing = [name for name in features.names if name not in table]
    if missing:
        found = f"is missing; there are {shown(list(table))}"
        raise VariablesInvalid([InvalidField(name, found) for name in missing[:MAX_FIELDS]])
    if features.given == "all":
        return dict(table)
    return {name: table[name] for name in features.names}


def _by_place(features: Features, table: Table) -> Sequence[list[Any]]:
    """Return the columns in the order of the features, which have no names in this table."""
    names = features.names
    if names and all(name in table for name in names) and (table.named or len(names) == len(table)):
        return [table[name] for name in names]
    columns: Sequence[list[Any]] = list(table.values())
    if table.flat and len(names) != 1:  # one row, as a list of its values
        columns = [[value] for value in columns[0]]
    if names and len(columns) != len(names):
        expected = f"expected {len(names)} values in each row ({shown(names)})"
        raise wrong("x" if table.form == "x" else "data", f"{expected}, came {len(columns)}")
    return columns
