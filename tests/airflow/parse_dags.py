"""Parses the DAGs as Airflow does, in its own Python: `parse_dags.py`.

Prints as JSON the packages that this has imported and an ordinary DAG has not, and how many
milliseconds it takes again.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path

from airflow.configuration import conf
from airflow.sdk import DAG, Asset, AssetOrTimeSchedule, BaseOperator, CronTriggerTimetable

FOLDER = Path(conf.get_mandatory_value("core", "dags_folder"))


def packages() -> set[str]:
    """Return the names of all packages that have been imported, but for the standard library's."""
    return {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)


def main() -> None:
    """Parse an ordinary DAG, and then ours."""
    sys.path.insert(0, str(FOLDER))
    timetable = CronTriggerTimetable("@daily", timezone="UTC")
    schedule = AssetOrTimeSchedule(timetable=timetable, assets=[Asset(name="data", uri="a://b")])
    with DAG("ordinary", schedule=schedule):
        BaseOperator(task_id="task")
    before = packages()
    file = str(FOLDER / "modelsync.py")
    found = runpy.run_path(file)
    assert "modelsync_Shop" in found
    start = time.perf_counter()
    runpy.run_path(file)
    took = (time.perf_counter() - start) * 1000
    result = {"imported": sorted(packages() - before), "milliseconds": round(took)}
    sys.stdout.write(f"result {json.dumps(result)}\n")


if __name__ == "__main__":
    main()
