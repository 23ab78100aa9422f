"""Answers one call of a loaded model in the thread that runs this, as a worker would."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from contextvars import Context
from typing import Any, cast

from modelsync.models import results
from modelsync.models.isolation import guards
from modelsync.models.types import LoadedModel

_loops = threading.local()


def answer(model: LoadedModel, variables: dict[str, Any], context: Context) -> Any:
    """Call the model in this thread; return the answer as JSON types. Raises all it raises."""
    try:
        result = context.run(model.call, copy.deepcopy(variables))
        if model.is_async:
            result = _loop_of_thread().run(_awaited(result), context=context)
        return json.loads(results.dump(result))
    finally:
        guards.restore_cwd()


def _loop_of_thread() -> asyncio.Runner:
    """Return the runner whose loop makes all calls of this thread, as one loop does in a worker."""
    if not hasattr(_loops, "runner"):
        _loops.runner = asyncio.Runner()
    return cast("asyncio.Runner", _loops.runner)


async def _awaited(result: Any) -> Any:
    return await result
