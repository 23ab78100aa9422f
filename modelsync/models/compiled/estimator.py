"""What `modelsync.compiled` returns: an estimator whose compiled form answers in its place."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator
from functools import update_wrapper
from typing import Any
from weakref import WeakKeyDictionary

from modelsync.models.compilation import Compilation
from modelsync.models.compiled import estimator_forms
from modelsync.models.compiled.estimator_forms import Answering

FORWARDED = ("__len__", "__getitem__", "__iter__", "__contains__", "__call__", "__bool__")
"""Methods that Python looks up in the class: a Pipeline and an ensemble have some of them."""

PREDICTING = ("predict", "transform")
"""Methods of which an estimator has one."""

_kinds: WeakKeyDictionary[type, type[CompiledEstimator]] = WeakKeyDictionary()


def wrap(estimator: Any) -> Any:
    """Return an estimator that answers as `estimator` does, by its compiled form if there is one.

    Cheap for one that was given before; else it is pickled to find its form, unless no form of an
    estimator like it is there. None, of a model without a fitted version, stays None. Raises
    TypeError for what is no estimator.
    """
    if estimator is None or isinstance(type(estimator), _Kind):
        return estimator
    if isinstance(estimator, type) or not any(hasattr(estimator, name) for name in PREDICTING):
        is_class = isinstance(estimator, type)
        shown = f"the class {estimator.__name__}" if is_class else f"a {type(estimator).__name__}"
        raise TypeError(f"modelsync.compiled takes a fitted estimator, not {shown}")
    return _kind_of(type(estimator))(estimator, estimator_forms.find(estimator))


def unwrapped(obj: Any) -> Any:
    """Return the estimator that was given to `modelsync.compiled`; anything else as it is."""
    return obj.__wrapped__ if isinstance(type(obj), _Kind) else obj


def _kind_of(kind: type) -> type[CompiledEstimator]:
    """Return the class for estimators of a class: it has the special methods of that one."""
    found = _kinds.get(kind)
    if found is None:
        special = {name: _forwarder(name) for name in FORWARDED if hasattr(kind, name)}
        own = {"__slots__": (), "__module__": __name__, "__doc__": CompiledEstimator.__doc__}
        made: Any = _Kind("CompiledEstimator", (CompiledEstimator,), special | own)
        found = _kinds[kind] = made
    return found


def _forwarder(name: str) -> Callable[..., Any]:
    special = getattr(operator, name, None) or (lambda one, *more: getattr(one, name)(*more))
    if name == "__bool__":
        special = bool
    return lambda self, *arguments: special(self.__wrapped__, *arguments)


class _Kind(type):
    """The class of the classes of compiled estimators, by which they are told."""


class CompiledEstimator(metaclass=_Kind):
    """A fitted estimator whose `predict`, `predict_proba` and `transform` are answered by its
    compiled form, where that was proven to answer the same; by the estimator in all other cases.

    All else is the estimator's own: its attributes and methods, `isinstance`, its length and steps.
    It is pickled, cloned and printed as that. A change of its attributes, such as by `fit`, is
    noticed: then the estimator answers. `compilation` says whether there is a compiled form,
    `__wrapped__` is the estimator.
    """

    __slots__ = ("__weakref__", "__wrapped__", "_answering", "_methods")

    __wrapped__: Any
    _answering: Answering
    _methods: dict[str, Callable[..., Any]]

    def __init__(self, estimator: Any, answering: Answering) -> None:
        set_own = object.__setattr__
        set_own(self, "__wrapped__", estimator)
        set_own(self, "_answering", answering)
        set_own(self, "_methods", {})

    @property
    def compilation(self) -> Compilation:
        """Whether a compiled form answers, and how that was proven, or why none does."""
        return self._answering.compilation

    def __getattr__(self, name: str) -> Any:
        methods = self._methods
        if name in methods:
            return methods[name]
        found = getattr(self.__wrapped__, name)
        if name in self._answering.methods:
            found = methods[name] = _method(self._answering, name, found)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # of `isinstance`
        return type(self.__wrapped__)

    @property
    def __dict__(self) -> Any:  # type: ignore[override]  # of `vars`
        return vars(self.__wrapped__)

    def __dir__(self) -> Iterator[str]:
        return iter([*dir(self.__wrapped__), "compilation"])

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)

    def __copy__(self) -> Any:
        return self._like(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._like(copy.deepcopy(self.__wrapped__, memo))

    def _like(self, estimator: Any) -> Any:
        """Return a copy of the estimator with the same form, unless the estimator was changed."""
        return type(self)(estimator, self._answering.of_copy(estimator))


def _method(answering: Answering, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method by the compiled form: with more arguments than rows the estimator answers."""

    def method(*arguments: Any, **named: Any) -> Any:
        if len(arguments) == 1 and not named:
            return answering.answer(name, arguments[0], original)
        if not arguments and named.keys() == {"X"}:
            return answering.answer(name, named["X"], original)
        return original(*arguments, **named)

    return update_wrapper(method, original)
