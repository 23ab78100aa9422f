"""Which variable a parameter takes: the two may have different names."""

from __future__ import annotations

import keyword
from collections.abc import Iterable
from typing import Any
from unicodedata import normalize

from modelsync.models.binding.typehints import Validate, Variables


def variable(parameter: str) -> str:
    """Return the name of the variable that a parameter takes: `class` for `class_`, since keywords
    of Python cannot be parameters (PEP 8, "Function and Method Arguments").
    """
    plain = parameter.removesuffix("_")
    return plain if keyword.iskeyword(plain) else parameter


def renaming(validate: Validate, renamed: dict[str, str]) -> Validate:
    """Return what takes variables, also by the names of the parameters, and returns arguments."""

    def arguments(variables: Variables) -> Any:
        by_parameter = {
            variable: variables[name]
            for variable, name in renamed.items()
            if name in variables and variable not in variables
        }
        found = validate({**variables, **by_parameter} if by_parameter else variables)
        return {renamed.get(name, name): value for name, value in found.items()}

    return arguments


def normalizing(validate: Validate, names: Iterable[str]) -> Validate:
    """Return what takes names in every form of Unicode, where these are not ASCII alone.

    Python normalises its identifiers to NFKC (PEP 3131): `\u00b5`, the micro sign of keyboards, is
    the Greek letter in a signature. Clients may also send letters and their accents apart.
    """
    known = frozenset(names)
    if all(name.isascii() for name in known):
        return validate

    def check(variables: Variables) -> Any:
        if known.issuperset(variables):
            return validate(variables)
        found = {**variables}
        for name in variables.keys() - known:
            if (normal := normalize("NFKC", name)) in known and normal not in variables:
                found[normal] = found.pop(name)
        return validate(found)

    return check
