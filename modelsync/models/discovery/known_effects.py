"""Functions and methods of Python and of libraries that share or change objects, by their names."""

from __future__ import annotations

ELEMENTS = {"get", "setdefault", "values", "items", "keys", "__getitem__", "pop"}
"""Methods that return a part of the object, not a copy."""

PASSING = {"enumerate", "zip", "reversed", "iter", "next", "sorted", "filter", "list", "tuple"}
"""Functions whose result holds the same items as their arguments."""

CHANGING = {"shuffle", "heappush", "heappop", "heapify", "heapreplace", "insort", "insort_left",
            "insort_right", "copyto", "put", "place", "putmask", "next", "setattr",
            "delattr"}  # fmt: skip
"""Functions that change their first argument."""

PROCESS_WIDE = {"seed", "manual_seed", "set_seed", "set_random_seed", "chdir", "setlocale",
                "redirect_stdout", "redirect_stderr", "option_context"}  # fmt: skip
"""Functions that change something for all threads of the process."""

GLOBAL_STATE = {"matplotlib.pyplot", "pylab", "seaborn", "turtle"}
"""Modules whose functions work on a state of their own."""

PROCESS_WIDE_CALLS = {
    "contextlib.chdir", "contextlib.redirect_stderr", "contextlib.redirect_stdout",
    "locale.setlocale", "logging.disable", "numpy.random.seed", "numpy.random.set_state",
    "os.chdir", "os.fchdir", "os.putenv", "os.unsetenv", "pandas.option_context",
    "pandas.reset_option", "pandas.set_option", "random.seed", "random.setstate",
    "sys.setrecursionlimit", "tensorflow.random.set_seed", "time.tzset", "torch.manual_seed",
    "torch.set_default_dtype",
}  # fmt: skip
"""What `PROCESS_WIDE` means, by full names: the calls of other models would notice it."""
