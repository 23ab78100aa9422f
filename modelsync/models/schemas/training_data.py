"""Brings the training data of a request into the columns and types of `schema.yml`: as its
predictions get them.
"""

from __future__ import annotations

from dataclasses import replace

from modelsync.errors import DataInvalid, InvalidField, VariablesInvalid
from modelsync.models.data_schema import DataSchema
from modelsync.models.schemas.requests import RequestSchema
from modelsync.models.tables.bodies import TrainingData
from modelsync.models.tables.table import Table


def conform(data: TrainingData, schema: DataSchema) -> TrainingData:
    """Return the data with the schema's features as x, typed and filled; others are left out.

    y is in the types of its targets; without y, they are columns of x. Raises DataInvalid.
    """
    features = [one.name for one in schema.features]
    try:
        made = RequestSchema(schema).table(data.x)
        x = made.with_columns({name: made[name] for name in features})
        return TrainingData(x, _target(data, schema))
    except VariablesInvalid as error:
        raise DataInvalid(str(error)) from None


def _target(data: TrainingData, schema: DataSchema) -> Table | None:
    """Return y in the types of the schema's targets. Raises VariablesInvalid."""
    rules = [replace(one, target=False) for one in schema.targets]
    names = [one.name for one in rules]
    y = data.y
    if y is None and rules and data.x.named and all(name in data.x for name in names):
        y = data.x.with_columns({name: data.x[name] for name in names})
    if y is None or not rules or len(y) != len(rules):
        return y
    columns = dict(zip(names, y.values(), strict=True)) if not y.named else dict(y)
    if set(columns) != set(names):
        return y
    try:
        typed = RequestSchema(DataSchema(tuple(rules))).table(y.with_columns(columns))
    except VariablesInvalid as error:
        fields = [
            InvalidField(f"y.{one.field.partition('.')[2]}", one.message) for one in error.fields
        ]
        raise VariablesInvalid(fields) from None
    if y.named:
        return typed
    made = Table(dict(zip(y, typed.values(), strict=True)), named=False, flat=y.flat)
    made.form = y.form
    return made
