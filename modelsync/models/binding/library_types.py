"""Types of pandas, numpy and pydantic 1 as parameters, which pydantic 2 cannot make of JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MOST_NESTED = 5
"""Models within each other that a schema shows; one may hold itself."""

_NUMBERS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "U": "string"}
"""Types of JSON by numpy's kinds of scalars."""


def known(hint: Any) -> Any:
    """Return a type of these libraries in words of pydantic 2; None for any other.

    A library that is not imported has no types here.
    """
    kind = get_origin(hint) or hint
    if not isinstance(kind, type):
        return None
    if is_version_1(kind):
        return _version_1(kind)
    if (pandas := sys.modules.get("pandas")) is not None:
        if kind is pandas.Timestamp:
            return _made(pandas.Timestamp, _text("date-time"), (str,))
        if kind is pandas.Timedelta:
            return _made(pandas.Timedelta, {"type": "string"}, (str,))
        if kind in (pandas.Series, pandas.Index):
            return _made(kind, {"type": "array", "items": {}}, (list,))
    if (numpy := sys.modules.get("numpy")) is not None:
        if issubclass(kind, numpy.generic):
            return _scalar(numpy, kind)
        if kind is numpy.ndarray:
            return _array(numpy, hint)
    return None


def is_version_1(kind: Any) -> bool:
    """Return whether a type is a model, or a constrained type, of `pydantic.v1`."""
    version_1 = sys.modules.get("pydantic.v1")
    return (
        version_1 is not None
        and isinstance(kind, type)
        and hasattr(kind, "__get_validators__")
        and any(base.__module__.startswith("pydantic.v1") for base in kind.__mro__)
    )


def _version_1(kind: type) -> Any:
    from pydantic import v1

    schema = kind.schema() if issubclass(kind, v1.BaseModel) else v1.schema_of(kind)
    definitions = schema.get("definitions", {})
    schema = {name: part for name, part in schema.items() if name != "definitions"}
    inlined = _inlined(schema, definitions)
    return _made(lambda value: v1.parse_obj_as(kind, value), inlined, (object,))


def _inlined(schema: Any, definitions: dict[str, Any], depth: int = 0) -> Any:
    """Return a schema with its definitions in place of references, which name another document."""
    if isinstance(schema, list):
        return [_inlined(part, definitions, depth) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        if depth >= MOST_NESTED:
            return {}
        return _inlined(definitions.get(reference.rpartition("/")[2], {}), definitions, depth + 1)
    return {name: _inlined(part, definitions, depth) for name, part in schema.items()}


def _scalar(numpy: Any, kind: Any) -> Any:
    if issubclass(kind, numpy.datetime64 | numpy.timedelta64):
        return _made(kind, _text("date-time"), (str,))
    if issubclass(kind, numpy.str_):
        return _made(kind, {"type": "string"}, (str,))
    code = "i" if issubclass(kind, numpy.integer) else "f"
    if issubclass(kind, numpy.bool_):
        return _made(kind, {"type": "boolean"}, (bool,))
    make = kind if kind not in (numpy.integer, numpy.floating, numpy.number) else _own(numpy, kind)
    types = (int, float) if code == "f" else (int,)
    return _made(lambda value: _within(make, value), {"type": _NUMBERS[code]}, types)


def _own(numpy: Any, kind: Any) -> Any:
    """Return the type of numpy that has the digits of Python's, for one that is abstract."""
    return numpy.int64 if kind is numpy.integer else numpy.float64


def _within(make: Callable[[Any], Any], value: Any) -> Any:
    found = make(value)
    if isinstance(value, int) and int(found) != value:
        raise ValueError(f"{value} is out of its range")
    return found


def _array(numpy: Any, hint: Any) -> Any:
    """Return an array's type, of the items that `NDArray[numpy.float32]` names."""
    parts = get_args(hint)
    [dtype] = get_args(parts[1])[:1] if len(parts) == 2 and get_args(parts[1]) else [None]
    item = dtype if isinstance(dtype, type) and issubclass(dtype, numpy.generic) else None
    schema = {"type": "array", "items": {}}
    return _made(lambda value: numpy.asarray(value, dtype=item), schema, (list,))


def _text(form: str) -> dict[str, Any]:
    return {"type": "string", "format": form}


def _made(make: Callable[[Any], Any], schema: dict[str, Any], takes: tuple[type, ...]) -> Any:
    """Return the type of what `make` makes of values of JSON of these types."""
    takes_bool = bool in takes or object in takes

    def validate(value: Any) -> Any:
        if not isinstance(value, takes) or (type(value) is bool and not takes_bool):
            wanted = _named(schema)
            raise PydanticCustomError("type", "Input should be {wanted}", {"wanted": wanted})
        try:
            return make(value)
        except (ValueError, TypeError, OverflowError) as error:
            said = _said(error)
            raise PydanticCustomError(
                "value", "Input does not fit: {said}", {"said": said}
            ) from None

    return Annotated[Any, PlainValidator(validate), WithJsonSchema(schema)]


def _named(schema: dict[str, Any]) -> str:
    kind = {"array": "a list", "string": "a text", "integer": "an integer"}
    return kind.get(schema["type"], f"a {schema['type']}")


def _said(error: Exception) -> str:
    """Return what is wrong, for an error of pydantic 1 each of its places."""
    if callable(errors := getattr(error, "errors", None)):
        return "; ".join(f"{_path(one['loc'])}{one['msg']}" for one in errors())
    return str(error)


def _path(location: Sequence[str | int]) -> str:
    parts = [str(part) for part in location if part != "__root__"]
    return f"{'.'.join(parts)}: " if parts else ""
