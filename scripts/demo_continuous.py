"""`make demo-continuous`: three days of models_serve/Titanic, which trains itself, while a client
asks for predictions all the time.

With PostgreSQL and the S3 server of `make s3-server`, set up as docker-compose.yml has them; where
one of them is not here, with SQLite and files. Nothing of it is left afterwards.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Self

import requests

from scripts import s3_server
from scripts.compose_native.definition import ROOT, ComposeService, read
from scripts.compose_native.places import LOOPBACK, Places
from scripts.compose_native.process_set import ProcessSet
from scripts.compose_native.programs import CannotRun, postgres_programs

MODEL = ROOT / "models_serve" / "Titanic"
FIRST_DAY = 120
"""Rows of the file that are known on the first day."""

PASSENGER = {"class": 3, "sex": "male", "age": 22, "embarked": "S"}
_SERVERS = {"secrets", "postgres", "minio", "bucket"}


class Client:
    """Asks for predictions again and again, and counts the answers by status and version; started
    once there is a version.
    """

    def __init__(self, url: str) -> None:
        self.answers: Counter[tuple[str, str]] = Counter()
        self._url, self._ended = url, threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def failed(self) -> int:
        """How many got no prediction."""
        return sum(number for (status, _), number in self.answers.items() if status != "200")

    def served(self, version: int) -> int:
        """How many were answered by a version."""
        return self.answers["200", str(version)]

    def wait(self, version: int) -> None:
        """Wait until a version has answered once more."""
        before = self.served(version)
        _until(lambda: self.served(version) > before, f"version {version} answers")

    def _run(self) -> None:
        with requests.Session() as session:
            while not self._ended.wait(0.02):
                try:
                    answer = _post(session, self._url)
                except requests.RequestException as error:
                    self.answers[type(error).__name__, ""] += 1
                else:
                    version = answer.headers.get("X-Modelsync-Model-Version", "")  # commit+number
                    self.answers[str(answer.status_code), version.rpartition("+")[2]] += 1

    def __enter__(self) -> Self:
        _until(lambda: _post(requests, self._url).ok, "the first version answers")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()


def _post(session: Any, url: str) -> requests.Response:
    answer: requests.Response = session.post(url, json={"variables": PASSENGER}, timeout=30)
    return answer


def _until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition is true. Raises TimeoutError after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within a minute: {what}")
        time.sleep(0.05)


def main() -> int:
    """The exit code: 0 if all three days went as they should."""
    # PostgreSQL, started by root, runs as another user, who must be able to enter the folder.
    with tempfile.TemporaryDirectory(prefix="modelsync-demo-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with _service(folder) as (url, environment):
            return _days(folder / "data" / "incoming", f"{url}/models/Titanic", environment)


def _days(incoming: Path, url: str, environment: dict[str, str]) -> int:
    header, *rows = list(csv.reader((MODEL / "titanic.csv").open(encoding="utf-8", newline="")))
    one, two, three = (date.today() - timedelta(days=ago) for ago in (2, 1, 0))

    _say(f"\nDay one: {FIRST_DAY} rows arrive")
    _arrives(incoming / f"{one}.csv", header, rows[:FIRST_DAY])
    codes = [_train(one, environment)]
    if codes != [0]:
        return 1
    with Client(url) as client:
        client.wait(version=1)
        _say("  version 1 serves; a client asks for predictions from now on")

        _say(f"\nDay two: {len(rows) - FIRST_DAY} more rows arrive")
        _arrives(incoming / f"{two}.csv", header, rows[FIRST_DAY:])
        codes.append(_train(two, environment))
        client.wait(version=2)
        _say("  version 2 serves")

        _say("\nDay three: a broken file arrives")
        broken = [["1", "first", "female", "-4", "S"], ["2", "3", "m", "26", "Southampton"]]
        _arrives(incoming / f"{three}.csv", header, [*rows[:10], *broken])
        codes.append(_train(three, environment))
        _say(f"  its report, at {url}/runs:")
        _say("\n".join(_report(url, three)))
        client.wait(version=2)
        _say("  version 2 goes on")

    _say(
        f"\nThe client: {client.failed} of {client.answers.total()} requests failed; version 1 "
        f"answered {client.served(1)}, version 2 {client.served(2)}"
    )
    return 0 if codes == [0, 0, 1] and not client.failed else 1


def _report(url: str, day: date) -> Iterator[str]:
    """What of the schema the rows of a day break, as the service shows it."""
    [listed] = requests.get(f"{url}/runs", params={"date": str(day)}, timeout=30).json()["runs"]
    run = requests.get(f"{url}/runs/{listed['number']}", timeout=30).json()
    for one in run["error"]["report"]["violations"]:
        rows = ", ".join(f"row {row}: {value}" for row, value in one["examples"])
        yield f"    {one['column']}: {one['rule']}: expected {one['expected']}; came {rows}"


def _arrives(file: Path, header: list[str], rows: list[list[str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([header, *rows])


def _train(day: date, environment: dict[str, str]) -> int:
    _say(f"$ modelsync train Titanic --date {day}")
    command = [sys.executable, "-m", "modelsync", "train", "Titanic", "--date", str(day)]
    done = subprocess.run(
        command,
        cwd=environment["MODELSYNC_DATA"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if not line.startswith("{")]  # the log
    _say("\n".join(f"  {line}" for line in lines))
    return done.returncode


@contextlib.contextmanager
def _service(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Start the service and its servers; gives its URL and the settings for commands beside it."""
    shutil.copytree(MODEL, folder / "models" / "Titanic")
    (folder / "data" / "incoming").mkdir(parents=True)
    folders = {"MODELS_FOLDER": str(folder / "models"), "DATA_FOLDER": str(folder / "data")}
    servers = _servers()
    services = read(folders, only={*servers, "modelsync"})
    if not servers:
        services["modelsync"] = _alone(services["modelsync"])
    where = "PostgreSQL and an S3 server" if servers else "SQLite and files"
    _say(f"modelsync starts with {where}")
    places = Places(folder, services)
    processes = ProcessSet(services, places, lambda name, state: _say(f"  {name}: {state}"))
    try:
        processes.start()
        settings = places.environment(services["modelsync"])
        path = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        quiet = {"MODELSYNC_LOG_LEVEL": "error"}
        yield (
            f"http://{LOOPBACK}:{places.port('modelsync', 8080)}",
            {**path, **settings, **quiet},
        )
    finally:
        processes.stop()


def _servers() -> set[str]:
    """The servers that this machine has programs for: all or none."""
    try:
        postgres_programs()
    except CannotRun:
        return set()
    return _SERVERS if s3_server.cached().exists() else set()


def _alone(service: ComposeService) -> ComposeService:
    """The service with its own store: without a setting that names another server."""
    names = ("DATABASE", "DATA_URL", "ARTIFACTS", "S3_", "TOKENS", "SECRET")
    kept = {
        name: value
        for name, value in service.environment.items()
        if not any(part in name for part in names)
    }
    return dataclasses.replace(service, environment=kept)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
