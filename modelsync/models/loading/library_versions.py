"""Notices that a model was fitted with other versions of its libraries than there are here."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from modelsync.models.model_warnings import ModelWarning
from modelsync.models.types import Fault
from modelsync.models.versions import FittedVersion, Mismatch

_ABOUT = re.compile(
    r"Trying to unpickle estimator (?P<estimator>\S+) from version (?P<then>\S+) when using "
    r"version (?P<now>[^\s.]+(\.[^\s.]+)*)|.*older version of XGBoost",
    re.DOTALL,
)
"""The texts of scikit-learn's `InconsistentVersionWarning` and of XGBoost's warning."""

_HINT = "fit it again, or name that version in a requirements.txt beside it"


@contextmanager
def watching() -> Iterator[list[str]]:
    """Collect the texts of such warnings of the block; other warnings are shown as ever.

    The filters that the block sets stay: a model may silence its libraries for good.
    """
    found: list[str] = []
    shown = warnings.showwarning

    def show(message: Any, *arguments: Any, **more: Any) -> None:
        if _ABOUT.match(str(message)):
            found.append(str(message))
        else:
            shown(message, *arguments, **more)

    warnings.showwarning = show
    warnings.filterwarnings("always", _ABOUT.pattern.partition("(?P")[0])
    try:
        yield found
    finally:
        if warnings.showwarning is show:
            warnings.showwarning = shown


def described(texts: Iterable[str], file: str | None = None) -> tuple[ModelWarning, ...]:
    """Return what these texts of warnings say, one for each pair of versions.

    `file`: the artefact in which they were found.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for text in texts:
        if (match := _ABOUT.match(text)) is None:
            continue
        if match["then"]:
            names.setdefault((match["then"], match["now"]), []).append(match["estimator"])
        else:
            names.setdefault(("", ""), [])
    return tuple(_warning(pair, list(dict.fromkeys(one)), file) for pair, one in names.items())


def _warning(pair: tuple[str, str], estimators: Sequence[str], file: str | None) -> ModelWarning:
    then, now = pair
    if not then:
        message = "was fitted with an older version of XGBoost"
    else:
        some = ", ".join(estimators[:3]) + (", …" if len(estimators) > 3 else "")
        message = f"was fitted with scikit-learn {then}, and here is {now}: {some}"
    return ModelWarning("library-version", message, file, hint=_HINT)


def of_version(fitted: FittedVersion) -> tuple[ModelWarning, ...]:
    """Return what differs from the libraries with which a version was fitted."""
    from modelsync.models.serializers import libraries

    if not (found := libraries.differences(fitted.libraries)):
        return ()
    message = f"version {fitted.number} was fitted with {libraries.shown(found)}"
    return (ModelWarning("library-version", message, hint="fit it again"),)


def untested(found: Iterable[ModelWarning]) -> tuple[ModelWarning, ...]:
    """Return the warnings of a model that has no example.

    An estimator of another version may load and answer wrongly: a forest of scikit-learn 1.3 has
    probabilities above 1 in 1.9.
    """
    return tuple(
        replace(one, hint=f"{one.hint}; no example tells whether it still answers the same")
        if one.kind == "library-version"
        else one
        for one in found
    )


def explained(fault: Fault, found: Iterable[ModelWarning]) -> Fault:
    """Return the fault with such a warning as its hint, unless its cause is another one."""
    about = next((one for one in found if one.kind == "library-version"), None)
    missing = re.search(r"No module named '([^'.]+)", fault.message)
    if about is None or (missing and missing[1] not in ("sklearn", "_loss")):
        return fault
    return replace(fault, hint=f"it {about.message.partition(': ')[0]}: {_HINT}")


def refused(found: Iterable[ModelWarning], mismatch: Mismatch) -> Fault | None:
    """Return the fault of a model that may not serve because of such a warning; else None."""
    about = (one for one in found if one.kind == "library-version")
    if mismatch != "refuse" or (one := next(about, None)) is None:
        return None
    message = f"{one.message}; MODELSYNC_LIBRARY_MISMATCH=refuse"
    return Fault("load", message, one.file, one.line, one.hint)
