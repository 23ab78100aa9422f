"""A real Airflow with a home of its own: its commands, its services and its REST API."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests

from modelsync.leash import leash
from scripts import airflow
from tests.waiting import patient, until

ROOT = Path(__file__).parents[2]

COMMAND = Path(sys.executable).with_name("modelsync")


class Airflow:
    """One installation. `environ` is that of its processes: Airflow's settings and modelsync's."""

    def __init__(self, home: Path, environ: Mapping[str, str], database: str = "") -> None:
        python = airflow.python()
        if not python:
            pytest.skip("Airflow is not installed: make airflow")
        self.home = home
        self._program = python.with_name("airflow")
        self._python = python
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {**_clean(), **self._settings(database), **environ}

    def _settings(self, database: str) -> dict[str, str]:
        """Settings of a small installation that notices soon what has happened."""
        database = database or f"sqlite:///{self.home / 'airflow.db'}"
        settings = {
            "api_auth__jwt_secret": secrets.token_hex(32),
            "api__secret_key": secrets.token_hex(32),
            "core__dags_folder": ROOT / "airflow" / "dags",
            "core__dags_are_paused_at_creation": False,
            "core__execution_api_server_url": f"{self.url}/execution/",
            "core__load_examples": False,
            "core__parallelism": 4,
            "core__simple_auth_manager_all_admins": True,
            "dag_processor__min_file_process_interval": 5,
            "database__sql_alchemy_conn": database,
            "scheduler__scheduler_health_check_threshold": patient(10),
            "scheduler__task_instance_heartbeat_timeout": patient(60),
            "usage_data_collection__enabled": False,
            "workers__execution_api_timeout": patient(60),
        }
        own = {f"AIRFLOW__{name.upper()}": str(value) for name, value in settings.items()}
        return {"AIRFLOW_HOME": str(self.home), "MODELSYNC_AIRFLOW_COMMAND": str(COMMAND), **own}

    # --- commands ---------------------------------------------------------------------------------

    def run(self, *arguments: str) -> str:
        """Return what a command of Airflow prints. Raises AssertionError if it fails."""
        return self._output([str(self._program), *arguments])

    def python(self, script: Path, *arguments: str) -> str:
        """Return what a script prints that Airflow's Python runs; `output` has it meanwhile."""
        return self._output([str(self._python), str(script), *arguments])

    @property
    def output(self) -> str:
        """What the newest command has printed so far."""
        return (self.home / "output").read_text("utf-8", errors="replace")

    def _output(self, command: list[str]) -> str:
        with (self.home / "output").open("wb") as file:
            done = subprocess.run(
                [*leash(), *command],
                env=self.environ,
                cwd=self.home,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=patient(900),
            )
        assert done.returncode == 0, self.output
        return self.output

    # --- services ---------------------------------------------------------------------------------

    def start(self, service: str, *options: str) -> None:
        """Start one of Airflow's services; its log is a file of that name in the home."""
        with (self.home / f"{service}.log").open("ab") as log:
            self._processes[service] = subprocess.Popen(
                [*leash(), str(self._program), service, *options],
                env=self.environ,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, service: str) -> None:
        """Kill a service and all that it has started, as a machine that loses power does."""
        self._end(service, signal.SIGKILL)

    def _end(self, service: str, number: signal.Signals) -> None:
        process = self._processes.pop(service)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(patient(30))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @contextmanager
    def running(self) -> Iterator[Airflow]:
        """Run its API server, its DAG processor and its scheduler."""
        try:
            self.start("api-server", "--host", "127.0.0.1", "--port", str(self.port), "--workers=1")
            self.start("dag-processor")
            # First, because a task that cannot reach it is a failed try.
            until(self._answers, 60, "the API server answers")
            self.start("scheduler", "--skip-serve-logs")
            yield self
        finally:
            for service in ("scheduler", "dag-processor", "api-server"):
                if service in self._processes:
                    self._end(service, signal.SIGTERM)

    def _answers(self) -> bool:
        self._token = requests.get(f"{self.url}/auth/token", timeout=5).json()["access_token"]
        return bool(self._token)

    # --- the REST API -----------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Return the answer of `/api/v2/<path>`. Raises AssertionError for an error."""
        answer = requests.request(
            method,
            f"{self.url}/api/v2/{path}",
            params=query,
            json=body,
            headers={"Authorization": f"Bearer {self._token}", "Accept": "application/json"},
            timeout=patient(30),
        )
        assert answer.ok, answer.text
        return answer.json()

    def trigger(self, dag: str, date: str | None) -> str:
        """Start a run of a DAG for a day, or for now, and return its id."""
        moment = f"{date}T00:00:00Z" if date else None
        answer = self.call("POST", f"dags/{dag}/dagRuns", {"logical_date": moment})
        return str(answer["dag_run_id"])

    def finished(self, dag: str, run: str) -> dict[str, str]:
        """Return the states of the tasks of a run that ends within two minutes, by task."""

        def ended() -> bool:
            return self.call("GET", f"dags/{dag}/dagRuns/{run}")["state"] in ("success", "failed")

        until(ended, 120, f"run {run} of {dag} ends")
        return self.states(dag, run)

    def states(self, dag: str, run: str) -> dict[str, str]:
        """Return the states of the tasks of a run, by task."""
        found = self.call("GET", f"dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {one["task_id"]: one["state"] for one in found}

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """Return the log of one try of a task."""
        path = f"dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"
        lines = self.call("GET", path, full_content=True)["content"]
        return "\n".join(str(line) for line in lines)


def _clean() -> dict[str, str]:
    """Return the environment without settings of modelsync, Airflow and this Python."""
    dropped = ("AIRFLOW", "COVERAGE", "MODELSYNC_", "PYTHON", "PYTEST", "VIRTUAL_ENV", "git")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
