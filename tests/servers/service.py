"""A real `modelsync serve`, started as a user would start it, on a free port, in a state directory of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.records import Record, records
from tests.waiting import until


class Service:
    """A running service. `url` has no slash at its end; `models` is the folder it serves when standalone."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, home: Path, log: Path) -> None:
        self.process = process
        self.url = url
        self.home = home
        self.log = log
        self.base = f"{url}/models"

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def post(self, path: str, variables: Any = None, **options: Any) -> requests.Response:
        """POST `{"variables": ...}` to a path below the base URL."""
        return requests.post(
            f"{self.base}/{path}", json={"variables": {} if variables is None else variables}, timeout=30, **options
        )

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET a path of the server."""
        return requests.get(f"{self.url}{path}", timeout=30, **options)

    def ready(self) -> bool:
        return self.get("/readyz").status_code == 200

    def status(self) -> dict[str, Any]:
        return json.loads((self.home / "status.json").read_text())

    def release(self) -> dict[str, Any]:
        return json.loads((self.home / "current" / "release.json").read_text())

    def lines(self, **fields: Any) -> list[Record]:
        """The log records that have these fields."""
        return records(self.log.read_text(), **fields)

    def workers(self) -> list[psutil.Process]:
        """The workers of all living generations."""
        return [worker for master in self.masters() for worker in master.children()]

    def masters(self) -> list[psutil.Process]:
        """The masters of all living generations."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if "modelsync.http.generation" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def sync(self) -> None:
        """Ask for a sync the way an operator does."""
        self.process.send_signal(signal.SIGHUP)

    def stop(self, timeout: float = 40) -> int:
        self.process.terminate()
        return self.process.wait(timeout)


@contextlib.contextmanager
def serving(
    folder: Path,
    models: Path | None = None,
    *,
    ready: bool = True,
    arguments: tuple[str, ...] = (),
    within: tuple[str, ...] = (),
    **env: str,
) -> Iterator[Service]:
    """Start `modelsync serve` in `folder` and stop it afterwards; `env` are settings.

    With `ready` it is waited for until it has a release. `within` is a command that becomes the one behind it.
    """
    home = folder / "home"
    log = folder / f"service-{len(list(folder.glob('service-*.log')))}.log"
    settings: Mapping[str, str] = {
        "MODELSYNC_HOME": str(home),
        "MODELSYNC_PORT": "0",
        "MODELSYNC_WORKERS": "2",
        "MODELSYNC_LOG_FORMAT": "json",
        "MODELSYNC_SYNC_CRON": "off",
        **({"MODELSYNC_MODELS": str(models)} if models else {}),
        **env,
    }
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MODELSYNC_", "PYTHON"))}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*within, sys.executable, "-m", "modelsync", "serve", *arguments],
            cwd=folder,
            env={**clean, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    tree = psutil.Process(process.pid)
    try:
        service = Service(process, until(lambda: _url(process, log), 30), home, log)
        if ready:
            until(lambda: _alive(process, log) and service.ready(), 60, message=f"see the log {log}")
        yield service
    finally:
        family = tree.children(recursive=True) if process.poll() is None else []
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for one in family:  # nothing of a failed test may outlive it
            with contextlib.suppress(psutil.Error):
                one.kill()


def _url(process: subprocess.Popen[bytes], log: Path) -> str | None:
    match = re.search(r"listening at (http://[\d.]+:\d+)", log.read_text())
    return match[1] if _alive(process, log) and match else None


def _alive(process: subprocess.Popen[bytes], log: Path) -> bool:
    """Whether the service runs; RuntimeError with what it said where it has ended, so that nobody waits for it."""
    if process.poll() is not None:
        raise RuntimeError(f"the service ended with {process.returncode}: {log.read_text()}")
    return True


def write_model(root: Path, name: str, code: str, **files: str) -> Path:
    """A model folder below `root`."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "etls.py").write_text(code)
    for file, content in files.items():
        (folder / file.replace("__", ".")).write_text(content)
    return folder


def write_example(folder: Path, variables: dict[str, Any], response: dict[str, Any] | None = None) -> None:
    """An example in a model's folder: the check runs and measures it."""
    (folder / "examples").mkdir(exist_ok=True)
    content = {"variables": variables} | ({"response": response} if response is not None else {})
    (folder / "examples" / "happy.json").write_text(json.dumps(content))


def answers(value: object, name: str = "Model") -> str:
    """The code of a model that always answers `{"value": value}`."""
    return f"class {name}:\n    def transform_predict(self):\n        return {{'value': {value!r}}}\n"
