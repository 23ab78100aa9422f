"""Counts the processor's cores before the models are called, as their libraries do in a call.

Histogram gradient boosting of scikit-learn, among others, asks joblib in its first prediction how
many cores there are. joblib starts lscpu for that, once for each process, and keeps the number. As
part of a prediction this looks as if the model started processes, and it holds up the first client.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from modelsync.models.isolation import fork_guard

COUNTER = "joblib.externals.loky.backend.context"


def count() -> None:
    """Let joblib count the cores, if a model has imported it. The forks of this process know it."""
    if context := sys.modules.get(COUNTER):
        with suppress(Exception), fork_guard.spared():  # an internal of joblib
            context.cpu_count(only_physical_cores=True)
