"""Settings of the process and of the standard library that models of a process share."""

from __future__ import annotations

import _tracemalloc
import gc
import locale
import os
import resource
import signal
import socket
import sys
import time
import warnings
from contextlib import suppress
from typing import Any, cast

from modelsync.models.isolation.setting import SharedSetting, Value, not_restored


def _time_zone() -> tuple[Value, ...]:
    return os.environ.get("TZ"), time.tzname, time.timezone


def _set_time_zone(value: tuple[Value, ...]) -> None:
    if value[0] is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = value[0]
    time.tzset()


# A runner that only needs the standard library is small: what is not imported has not been set.


def _start_method() -> str:
    """Return the start method of `multiprocessing`, the empty text for the default one."""
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return ""
    method = multiprocessing.get_start_method(allow_none=True)
    return "" if method == multiprocessing.get_all_start_methods()[0] else str(method or "")


def _set_start_method(value: str) -> None:
    import multiprocessing

    multiprocessing.set_start_method(value or None, force=True)


def _umask() -> int:
    value = os.umask(0o077)
    os.umask(value)
    return value


def _limits() -> dict[int, tuple[int, int]]:
    numbers = {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}
    return {number: resource.getrlimit(number) for number in numbers}


def _set_limits(values: dict[int, tuple[int, int]]) -> None:
    for number, value in values.items():
        if resource.getrlimit(number) != value:
            with suppress(OSError, ValueError):
                resource.setrlimit(number, value)


def _errors_of_warnings() -> int:
    return sum(entry[0] == "error" for entry in warnings.filters)


def _set_errors_of_warnings(value: int) -> None:
    if _errors_of_warnings() > value:
        kept = [entry for entry in warnings.filters if entry[0] != "error"]
        cast("list[Any]", warnings.filters)[:] = kept


def _handlers() -> dict[int, Value]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _set_handlers(values: dict[int, Value]) -> None:
    for number, handler in values.items():
        if handler is not None and signal.getsignal(number) is not handler:
            with suppress(OSError, ValueError):
                signal.signal(number, handler)


def _timers() -> tuple[Value, ...]:
    running = tuple(signal.getitimer(which)[0] > 0 for which in range(3))
    return running, signal.pthread_sigmask(signal.SIG_BLOCK, [])


def _set_timers(value: tuple[Value, ...]) -> None:
    for which, ran in enumerate(value[0]):
        if not ran:
            signal.setitimer(which, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, value[1])


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "TZ"}


def changed_variables(before: dict[str, str]) -> list[str]:
    """Return the environment variables of `before` that have another value now, or none."""
    return sorted(name for name, value in before.items() if os.environ.get(name) != value)


def _set_environment(values: dict[str, str]) -> None:
    for name in changed_variables(values):
        os.environ[name] = values[name]


def _policy() -> str:
    policy = getattr(sys.modules.get("asyncio.events"), "_event_loop_policy", None)
    kind = type(policy)
    standard = policy is None or kind.__module__.startswith("asyncio.")
    return "" if standard else f"{kind.__module__}.{kind.__name__}"


def _gc() -> tuple[Value, ...]:
    return gc.isenabled(), gc.get_threshold()


def _set_gc(value: tuple[Value, ...]) -> None:
    (gc.enable if value[0] else gc.disable)()
    gc.set_threshold(*value[1])


def _priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)


LIMITS: tuple[SharedSetting, ...] = (
    SharedSetting("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    SharedSetting("the switch interval of threads", sys.getswitchinterval, sys.setswitchinterval),
    SharedSetting(
        "the longest text of an integer", sys.get_int_max_str_digits, sys.set_int_max_str_digits
    ),
    SharedSetting(
        "the default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout
    ),
)

SIGNALS = (
    SharedSetting("signal handlers", _handlers, _set_handlers),
    SharedSetting("timers or blocked signals", _timers, _set_timers),
)

PROCESS: tuple[SharedSetting, ...] = (
    *LIMITS,
    SharedSetting("the time zone", _time_zone, _set_time_zone),
    SharedSetting(
        "the locale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda value: locale.setlocale(locale.LC_ALL, value),
    ),
    SharedSetting("environment variables", _environment, _set_environment),
    SharedSetting(
        "the start method of multiprocessing",
        _start_method,
        _set_start_method,
    ),
    SharedSetting("the umask", _umask, os.umask),
    SharedSetting("limits of the process (setrlimit)", _limits, _set_limits),
    SharedSetting("warnings (as errors)", _errors_of_warnings, _set_errors_of_warnings),
    *SIGNALS,
    SharedSetting("asyncio's event loop policy", _policy, not_restored),
    SharedSetting("the garbage collector", _gc, _set_gc),
    SharedSetting("a profiler", sys.getprofile, sys.setprofile),
    SharedSetting("tracemalloc", _tracemalloc.is_tracing, lambda _: _tracemalloc.stop()),
    SharedSetting("the priority of the process", _priority, not_restored),
)  # fmt: skip
