"""The compiled forms of estimators that the classes of this process hold, found by what is in an
estimator: its form answers for it wherever it is, also in a thread that the model has started.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from modelsync.models.compilation import Compilation
from modelsync.models.compiled import fingerprint
from modelsync.models.compiled.estimator_digest import digest
from modelsync.models.compiled.estimator_form import EstimatorForm, is_saved, load, outline
from modelsync.models.compiled.unchanged import Unchanged

NO_FORM = Compilation("off", "modelsync serves no compiled form of it here")

_log = logging.getLogger(__name__)


class Answering(Protocol):
    """What answers for an estimator.

    `methods`: the names of those that `answer` takes in the place of the estimator's own.
    `compilation`: whether a compiled form answers.
    """

    @property
    def methods(self) -> frozenset[str]:
        """Those of the estimator."""

    @property
    def compilation(self) -> Compilation:
        """Whether there is one, and why not."""

    def answer(self, name: str, x: Any, original: Callable[[Any], Any]) -> Any:
        """Call the method `name` with `x`; `original` is the estimator's own.

        Raises what that raises.
        """

    def of_copy(self, estimator: Any) -> Answering:
        """Return what answers for a copy of the estimator."""


class ByEstimator:
    """The estimator answers all by itself."""

    methods: frozenset[str] = frozenset()

    def __init__(self, compilation: Compilation) -> None:
        self.compilation = compilation

    def answer(self, name: str, x: Any, original: Callable[[Any], Any]) -> Any:
        """Answer by the estimator."""
        return original(x)

    def of_copy(self, estimator: Any) -> Answering:
        """Return itself."""
        return self


class ByForm:
    """A compiled form answers, and the estimator what the form was not proven for."""

    def __init__(self, form: EstimatorForm, estimator: Any) -> None:
        self.methods = form.methods
        self._form: EstimatorForm | None = form
        self._unchanged = Unchanged(estimator)
        self._classes = getattr(estimator, "classes_", None)
        self.compilation = form.compilation
        self.fallbacks = 0

    def answer(self, name: str, x: Any, original: Callable[[Any], Any]) -> Any:
        """Answer by the form, else by the estimator."""
        form = self._form
        if form is not None:
            if self._unchanged():
                try:
                    return form.answer(name, x, self._classes)
                except Exception:  # noqa: BLE001  whatever it is, the estimator decides
                    self.fallbacks += 1
            else:
                self._form = None
                reason = "the estimator was changed after it was given to modelsync.compiled"
                self.compilation = Compilation("refused", reason)
        return original(x)

    def of_copy(self, estimator: Any) -> Answering:
        """Return what answers for a copy: the same form, unless the estimator was changed."""
        if self._form is None or not self._unchanged():
            return ByEstimator(NO_FORM)
        return ByForm(self._form, estimator)


class Recorder(Protocol):
    """Notes the estimators of a model that is being compiled."""

    def of(self, estimator: Any) -> Answering:
        """Return what notes the calls of an estimator, and answers them by it."""


recorder: Recorder | None = None
"""Set in the process that compiles models alone."""

_forms: dict[str, dict[str, EstimatorForm]] = {}
_found: dict[int, tuple[weakref.ref[Any], Answering]] = {}


def open_folder(owner: str, folder: Path) -> None:
    """Load the forms in a model's folder, until `close`; `owner`: the name of its package.

    What cannot be loaded here is left out, and logged: its estimators answer by themselves.
    """
    if not fingerprint.is_from_here(folder):
        _log.warning("%s: its forms were proven with other libraries, so none is used", owner)
        return
    forms = {}
    for place in filter(is_saved, folder.iterdir()):
        try:
            forms[place.name] = load(place)
        except Exception as error:  # noqa: BLE001  a library is missing here, or a file damaged
            _log.warning("%s: a compiled form does not load, so none is used: %s", owner, error)
    if forms:
        _forms[owner] = forms
        _found.clear()


def close(owner: str) -> None:
    """Free the forms of a model."""
    if _forms.pop(owner, None):
        _found.clear()


def find(estimator: Any) -> Answering:
    """Return what answers for an estimator.

    It is pickled to find its form, once, and only if there is a form of one like it.
    """
    if recorder is not None:
        return recorder.of(estimator)
    if not _forms:
        return ByEstimator(NO_FORM)
    reference, answering = _found.get(id(estimator), (None, None))
    if answering is not None and reference is not None and reference() is estimator:
        return answering
    found = _look_up(estimator)
    key = id(estimator)
    with suppress(TypeError):  # of a class with slots, whose objects are looked up each time
        _found[key] = weakref.ref(estimator, lambda _: _found.pop(key, None)), found
    return found


def _look_up(estimator: Any) -> Answering:
    alike = outline(estimator)
    forms = [each for each in _forms.values() if any(alike == one.outline for one in each.values())]
    if not forms:
        return ByEstimator(NO_FORM)
    try:
        name = digest(estimator)
    except Exception:  # noqa: BLE001  its own methods run
        return ByEstimator(NO_FORM)
    form = next((each[name] for each in forms if name in each), None)
    return ByForm(form, estimator) if form else ByEstimator(NO_FORM)
