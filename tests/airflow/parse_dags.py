"""Parses the DAGs as Airflow does, in its own Python, and prints which modules that has imported
which are not of the standard library or of Airflow and what it needs itself.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import airflow.sdk
from airflow.configuration import conf
from airflow.sdk.definitions.asset import Model

FOLDER = Path(conf.get_mandatory_value("core", "dags_folder"))


def main() -> None:
    """Parse twice, and look at the second time: the first has loaded what Airflow loads lazily."""
    assert (airflow.sdk, Model)
    sys.path.insert(0, str(FOLDER))
    before = set(sys.modules)
    found = runpy.run_path(str(FOLDER / "modelsync.py"))
    assert "modelsync_Shop" in found
    ours = {
        name.partition(".")[0]
        for name in set(sys.modules) - before
        if name.partition(".")[0] not in sys.stdlib_module_names
    }
    known = {name.partition(".")[0] for name in before}
    sys.stdout.write(json.dumps(sorted(ours - known)) + "\n")


if __name__ == "__main__":
    main()
