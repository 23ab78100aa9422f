"""The set of docker-compose.yml as `make compose-native` runs it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import requests

from scripts.compose_native.definition import ROOT
from tests.waiting import patient, until


class Native:
    """A running set; `folder` holds its data, secrets and logs."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path, output: Path) -> None:
        self.process, self.folder, self.output = process, folder, output

    @property
    def processes(self) -> dict[str, dict[str, Any]]:
        """Number and ports of each process, by the names of the services."""
        found: dict[str, dict[str, Any]] = json.loads((self.folder / "processes.json").read_text())
        return found

    @property
    def url(self) -> str:
        """Of nginx."""
        return f"http://127.0.0.1:{self.processes['nginx']['ports'][0]}"

    @property
    def airflow_url(self) -> str:
        """Of nginx's port for Airflow."""
        return f"http://127.0.0.1:{self.processes['nginx']['ports'][1]}"

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text("utf-8")

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=patient(60), **options)

    def put(self, path: str, **options: Any) -> requests.Response:
        """PUT with the token for training."""
        headers = {"Authorization": f"Bearer {self.secret('modelsync/train_tokens')}"}
        headers |= options.pop("headers", {})
        return requests.put(self.url + path, headers=headers, timeout=patient(120), **options)

    def tree(self) -> list[psutil.Process]:
        """All processes of the set."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text("utf-8", errors="replace")


@contextlib.contextmanager
def composed(folder: Path, models: Path, **variables: str) -> Iterator[Native]:
    """Start the set in a folder, wait until all of it is healthy, and end it with Ctrl-C, unless
    the test has killed it.
    """
    output = folder.with_suffix(".log")
    (folder / "processes.json").unlink(missing_ok=True)  # of a set that the test has killed
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MODELSYNC_")}
    settings = {"MODELS_FOLDER": str(models), "HTTP_PORT": "0", "AIRFLOW_PORT": "0", **variables}
    with output.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.compose_native", "--folder", str(folder)],
            cwd=ROOT,
            env={**clean, **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    native = Native(process, folder, output)

    def healthy() -> bool:
        assert (folder / "processes.json").exists()
        return True

    def settled() -> bool:
        return process.poll() is not None or healthy()

    try:
        until(settled, 150, "all are healthy")
        assert process.poll() is None, output.read_text()
        yield native
    finally:
        killed = process.poll() is not None
        tree = [] if killed else native.tree()
        process.send_signal(signal.SIGINT)
        code = process.wait(patient(90))
        left = [one for one in tree if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        for one in left:
            one.kill()
    assert killed or (code, left) == (0, []), output.read_text()
