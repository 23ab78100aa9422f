"""Settings of libraries that all models of a process share."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from modelsync.models.isolation.setting import SharedSetting, Value


def _module(name: str) -> Any:
    return sys.modules[name]


def _default_context() -> tuple[Value, ...]:
    context = _module("decimal").DefaultContext
    traps = tuple(kind for kind, on in context.traps.items() if on)
    return context.prec, context.rounding, context.Emin, context.Emax, traps


def _set_default_context(value: tuple[Value, ...]) -> None:
    context = _module("decimal").DefaultContext
    context.prec, context.rounding, context.Emin, context.Emax, traps = value
    context.traps = dict.fromkeys(context.traps, False) | dict.fromkeys(traps, True)


HARMLESS = ("display.", "styler.", "plotting.", "mode.chained_assignment", "mode.performance_warn")
"""Options of pandas that decide how it prints and warns: many models set them for themselves."""


def _pandas(*, display: bool) -> dict[str, Value]:
    """Return pandas' options by their names, those of the display or the others."""
    found: dict[str, Value] = {}

    def walk(options: dict[str, Value], prefix: str) -> None:
        for name, value in options.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{name}.")
            else:
                found[prefix + name] = value

    walk(getattr(_module("pandas")._config.config, "_global_config", {}), "")
    return {name: value for name, value in found.items() if name.startswith(HARMLESS) is display}


def _set_pandas(values: dict[str, Value]) -> None:
    pandas = _module("pandas")
    for name, value in values.items():
        if pandas.get_option(name) != value:
            with suppress(Exception):
                pandas.set_option(name, value)


def _matplotlib() -> dict[str, Value]:
    values = dict(dict.items(_module("matplotlib").rcParams))
    return {name: value for name, value in values.items() if not name.startswith("backend")}


def _set_matplotlib(values: dict[str, Value]) -> None:
    dict.update(_module("matplotlib").rcParams, values)


LIBRARY_SETTINGS: tuple[SharedSetting, ...] = (
    SharedSetting(
        "decimal's default context", _default_context, _set_default_context, library="decimal"
    ),
    SharedSetting(
        "pandas' options",
        lambda: _pandas(display=False),
        _set_pandas,
        library="pandas",
    ),
    SharedSetting(
        "pandas' display options",
        lambda: _pandas(display=True),
        _set_pandas,
        library="pandas",
        mild=True,
    ),
    SharedSetting(
        "scikit-learn's configuration",
        lambda: _module("sklearn").get_config(),
        lambda value: _module("sklearn").set_config(**value),
        library="sklearn",
    ),
    SharedSetting(
        "torch's default type", lambda: _module("torch").get_default_dtype(),
        lambda value: _module("torch").set_default_dtype(value), library="torch",
    ),
    SharedSetting(
        "torch's gradient mode", lambda: _module("torch").is_grad_enabled(),
        lambda value: _module("torch").set_grad_enabled(value), library="torch", mild=True,
    ),
    SharedSetting(
        "torch's number of threads", lambda: _module("torch").get_num_threads(),
        lambda value: _module("torch").set_num_threads(value), library="torch",
    ),
    SharedSetting("matplotlib's rcParams", _matplotlib, _set_matplotlib, library="matplotlib"),
)  # fmt: skip
