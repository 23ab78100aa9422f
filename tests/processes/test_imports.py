"""What a process that serves loads: each library costs every start and every worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

SELDOM = {"sqlalchemy", "alembic", "psycopg", "numpy", "pandas", "pyarrow", "scipy", "yaml"}
"""What only models that want it load, and processes that use the store."""


@pytest.mark.parametrize(
    "module",
    [
        "modelsync.processes.supervisor",
        "modelsync.sync.update",
        "modelsync.processes.gunicorn_master",
    ],
)
def test_a_process_that_serves_loads_no_library_of_the_store_or_of_models(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set(sys.modules) & set({sorted(SELDOM)})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
