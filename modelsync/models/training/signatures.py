"""Reads how the methods of a trained model take data and parameters, and calls them so.

The first parameter is the data. The second one is `y` if it has no default, or one of the usual
names; a method without it gets one table, with `y` as its last column. All others are parameters of
the request.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from modelsync.errors import DataInvalid, ModelBroken, VariablesInvalid
from modelsync.models.binding import typehints, validation
from modelsync.models.tables.frames import Wanted

TARGETS = {"y", "target", "targets", "label", "labels", "y_train", "train_y", "ytrain", "outcome"}
"""Names of a second parameter, in lower case, that has a default and is `y` nevertheless."""

ROWS = "data"
"""The parameter of `train` that gets the rows of the model's source."""

_EMPTY = inspect.Parameter.empty
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class DataMethod:
    """A method that takes data. `x` and `y` are its parameters, None without one.

    `wanted` is what its first parameter is annotated with, None if that does not say. `by_name`: it
    takes the name of the column that is `y`, in place of its values.
    """

    name: str
    method: Callable[..., Any]
    x: inspect.Parameter | None
    y: inspect.Parameter | None
    others: tuple[inspect.Parameter, ...]
    open_ended: bool
    wanted: Wanted | None
    by_name: bool

    def call(self, x: Any, y: Any, parameters: Mapping[str, Any]) -> Any:
        """Call the method; `y` is dropped if it does not take it. Raises DataInvalid."""
        arguments, named = [x], self.checked(parameters)
        if self.y is not None and self.y.kind is inspect.Parameter.KEYWORD_ONLY:
            named[self.y.name] = y
        elif self.y is not None:
            arguments.append(y)
        if self.x is not None and self.x.kind is inspect.Parameter.KEYWORD_ONLY:
            named[self.x.name] = arguments.pop(0)
        return self.method(*arguments, **named)

    @property
    def needs_y(self) -> bool:
        """Whether it cannot be called without `y`."""
        y = self.y
        return (
            y is not None and y.default is _EMPTY and y.kind is not inspect.Parameter.VAR_POSITIONAL
        )

    def checked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a request, validated by the types of the signature.

        Raises DataInvalid.
        """
        known = [one.name for one in self.others]
        data = {one.name for one in (self.x, self.y) if one is not None}
        unknown = [
            name
            for name in parameters
            if name not in known and (name in data or not self.open_ended)
        ]
        if unknown:
            takes = f"it takes {', '.join(map(_shown, self.others))}" if known else "it takes none"
            raise DataInvalid(f"{self.name} has no parameter {', '.join(unknown)}; {takes}")
        if not self.others:
            return dict(parameters)
        try:
            found: dict[str, Any] = self._validate()(dict(parameters))
        except VariablesInvalid as error:
            takes = ", ".join(map(_shown, self.others))
            raise DataInvalid(f"params: {error}; {self.name} takes {takes}") from None
        return found

    def _validate(self) -> typehints.Validate:
        defaults = {one.name: one.default for one in self.others if one.default is not _EMPTY}
        try:
            hints = {one.name: typehints.resolve(one, self.method) for one in self.others}
            optional = {
                name: hint | None
                if defaults.get(name, _EMPTY) is None and hint is not Any
                else hint
                for name, hint in hints.items()
            }
            return validation.arguments(optional, defaults, open_ended=self.open_ended)[0]
        except (ModelBroken, TypeError):  # a type that JSON cannot fill: it passes as it is
            hints = dict.fromkeys((one.name for one in self.others), Any)
            return validation.arguments(hints, defaults, open_ended=self.open_ended)[0]


def _shown(parameter: inspect.Parameter) -> str:
    if parameter.default is _EMPTY:
        return f"{parameter.name} (required)"
    return f"{parameter.name} (default {parameter.default!r})"


def read(instance: object, name: str) -> DataMethod:
    """Read the signature of a method that takes data."""
    method = getattr(instance, name)
    parameters = list(inspect.signature(method).parameters.values())
    open_ended = bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    named = [one for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD]
    x = named.pop(0) if named else None
    y = None
    if x is not None and x.kind is inspect.Parameter.VAR_POSITIONAL:
        y = x
    elif (
        named
        and (place := next((i for i, one in enumerate(named) if _is_target(one, i)), None))
        is not None
    ):
        y = named.pop(place)
    others = tuple(one for one in named if one.kind is not inspect.Parameter.VAR_POSITIONAL)
    hint = _hint(x, method) if x is not None else Any
    return DataMethod(
        name,
        method,
        x,
        y,
        others,
        open_ended,
        _wanted(hint),
        y is not None and _hint(y, method) is str,
    )


def takes_rows(instance: object) -> bool:
    """Return whether the model's own `train` takes the rows of its source, by name."""
    return ROWS in inspect.signature(instance.train).parameters  # type: ignore[attr-defined]


def rows_for(instance: object, frame: Any) -> Any:
    """Return rows in the type that `train` asks for: a DataFrame, or a list of dicts."""
    method = instance.train  # type: ignore[attr-defined]
    hint = _hint(inspect.signature(method).parameters[ROWS], method)
    wanted = _wanted(hint)
    if wanted in ("rows", "records"):
        return frame.to_dict("records")
    if wanted == "columns":
        return frame.to_dict("list")
    return frame


def parameters_of(instance: object, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a request, as a method takes them that takes no data.

    Raises DataInvalid.
    """
    method = getattr(instance, name)
    parameters = tuple(inspect.signature(method).parameters.values())
    open_ended = bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    others = tuple(one for one in parameters if one.kind not in _VARIADIC and one.name != ROWS)
    return DataMethod(name, method, None, None, others, open_ended, None, by_name=False).checked(
        given
    )


def _is_target(parameter: inspect.Parameter, place: int) -> bool:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return place == 0
    if parameter.name.lower() in TARGETS:
        return True
    return place == 0 and parameter.kind in _BY_PLACE and parameter.default is _EMPTY


def _hint(parameter: inspect.Parameter, method: Callable[..., Any]) -> Any:
    try:
        return typehints.without_none(typehints.resolve(parameter, method))
    except ModelBroken:
        return Any


def _wanted(hint: Any) -> Wanted | None:
    if typehints.is_dataframe(hint):
        return "frame"
    if typehints.is_dict(hint):
        return "columns"
    if getattr(hint, "__name__", "") == "DataFrame" and hint.__module__.startswith("polars"):
        return "polars"
    origin = getattr(hint, "__origin__", hint)
    if origin is list:
        return "records" if any(map(typehints.is_dict, get_args(hint))) else "rows"
    return "array" if getattr(origin, "__name__", "") == "ndarray" else None
