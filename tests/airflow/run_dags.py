"""Runs `dag.test()`, in Airflow's own Python: `run_dags.py DAG DATE...`.

Prints a JSON object for each date: the state of the run, those of its tasks by task, how often each
was tried, and the events of assets since the run before.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from airflow.configuration import conf
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.models.asset import AssetEvent, AssetModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import func, select


def main(name: str, dates: list[str]) -> None:
    """Run the DAG of that name for each date."""
    folder = Path(conf.get_mandatory_value("core", "dags_folder"))
    bag = BundleDagBag(folder, bundle_path=folder, bundle_name="dags-folder")
    assert not bag.import_errors, bag.import_errors
    for date in dates:
        with create_session() as session:
            before = session.scalar(select(func.max(AssetEvent.id))) or 0
        moment = datetime.fromisoformat(date).replace(tzinfo=UTC)
        run: DagRun = bag.dags[name].test(logical_date=moment)
        with create_session() as session:
            of_run = select(TaskInstance).where(
                TaskInstance.dag_id == name, TaskInstance.run_id == run.run_id
            )
            tasks = list(session.scalars(of_run))
            found = session.execute(
                select(AssetModel.uri, AssetModel.group, AssetEvent.extra)
                .join(AssetModel, AssetModel.id == AssetEvent.asset_id)
                .where(AssetEvent.id > before)
            )
            result = {
                "state": run.state,
                "tasks": {one.task_id: one.state for one in tasks},
                "tries": {one.task_id: one.try_number for one in tasks},
                "events": [list(row) for row in found],
            }
        sys.stdout.write(f"result {json.dumps(result)}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
