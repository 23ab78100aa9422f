"""The training data of one call, in the form that the model's method takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelsync.errors import DataInvalid, VariablesInvalid
from modelsync.models.tables import alignment, frames, schema
from modelsync.models.tables.table import Table
from modelsync.models.training.signatures import DataMethod
from modelsync.models.versions import TableSchema


@dataclass(frozen=True, slots=True)
class Data:
    """Rows and what is to be predicted of them: tables, or what a library holds.

    `inputs` describes `x`, None if nothing is known of it.
    """

    x: Any
    y: Any
    inputs: TableSchema | None

    @classmethod
    def of(cls, x: Any, y: Any, fitted: TableSchema | None = None) -> Data:
        """Return the data, described; a table is brought into the columns of `fitted`, if given.

        Raises DataInvalid.
        """
        if not isinstance(x, Table):
            return cls(x, y, fitted or schema.of_data(x, y))
        try:
            if fitted is not None:
                return cls(alignment.align(x, fitted), y, fitted)
            found = schema.of_tables(x, y)
            _refuse_missing(y)
            return cls(dict(x), y, found)
        except VariablesInvalid as error:
            raise DataInvalid(str(error)) from None

    def call(self, method: DataMethod, parameters: dict[str, Any]) -> Any:
        """Call a method with the data. Raises DataInvalid, and what the method raises."""
        if self.y is None and method.needs_y and method.y is not None:
            raise DataInvalid(f"y is missing: {method.name} takes {method.y.name}")
        if self.y is not None and (method.y is None or method.by_name):
            return method.call(self._together(method), self._name, parameters)
        if self.y is None and method.y is not None and not method.needs_y:
            return method.call(
                self.inputs_of(method),
                method.y.default if _has_default(method) else None,
                parameters,
            )
        return method.call(self.inputs_of(method), self.target_of(method), parameters)

    def _wanted(self, method: DataMethod) -> frames.Wanted:
        return method.wanted or (self.inputs.form if self.inputs else "frame")

    def inputs_of(self, method: DataMethod) -> Any:
        """Return what a method takes as `x`."""
        if not isinstance(self.x, dict):
            return self._converted(self.x, method)
        assert self.inputs
        return frames.build(self.x, self.inputs.columns, self._wanted(method))

    def _converted(self, x: Any, method: DataMethod) -> Any:
        if method.wanted == "array" and hasattr(x, "to_numpy"):
            return x.to_numpy()
        return x

    def target_of(self, method: DataMethod) -> Any:
        """Return what a method takes as `y`."""
        if not isinstance(self.y, Table):
            return self.y
        kinds = schema.columns_of(self.y, "y")
        return frames.target(self.y, kinds, self._wanted(method), named=self.y.named)

    @property
    def _name(self) -> str:
        """The name of the column `y`."""
        if isinstance(self.y, Table):
            return next(iter(self.y)) if self.y.named else "y"
        return str(getattr(self.y, "name", None) or "y")

    def _together(self, method: DataMethod) -> Any:
        """Return one table with `y` as its last columns."""
        if not isinstance(self.x, dict):
            return self.x.assign(**{self._name: self.y}) if hasattr(self.x, "assign") else self.x
        assert self.inputs
        if not isinstance(self.y, Table):
            return self.inputs_of(method)
        prefix = "" if self.y.named else "y"
        more = {
            f"{prefix}{name}" if len(self.y) > 1 or not prefix else "y": values
            for name, values in self.y.items()
        }
        kinds = schema.columns_of(Table(more, named=True, dtypes=self.y.dtypes), "y")
        return frames.build(
            {**self.x, **more}, (*self.inputs.columns, *kinds), self._wanted(method)
        )


def _has_default(method: DataMethod) -> bool:
    return method.y is not None and method.y.default is not method.y.empty


def _refuse_missing(y: Table | None) -> None:
    """Refuse what is to be predicted if some of it is missing."""
    for name, values in (y or {}).items():
        if missing := [place for place, value in enumerate(values) if value is None]:
            shown = f"y.{name}" if y and y.named else "y"
            raise DataInvalid(
                f"{shown}: {len(missing)} of {len(values)} values are missing, the first in row "
                f"{missing[0]}; leave those rows out"
            )
