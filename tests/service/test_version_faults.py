"""Fitted versions that cannot be loaded: what has served goes on, and the reason is told."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import requests

from modelsync.models.versions import FittedVersion
from tests.fixtures.load import Tally, load
from tests.fixtures.service import Service, serving, write_example, write_model
from tests.fixtures.versions import STORE_AWAY, Versions
from tests.service.test_versions import truthful, version_of
from tests.waiting import patient, setting, until

pytestmark = pytest.mark.training

BODY = b'{"variables": {}}'
WORKERS = 2

PLAIN = """
import multiprocessing, threading
class {name}:
    model = 0

    def __init__(self, path):
        {first}

    def fit(self, x, y=None):
        return len(x)

    def transform_predict(self):
        return {{"value": getattr(self.model, "value", self.model)}}
"""
FIRST = {
    "Plain": "pass",
    "Bound": "self.bound = threading.local(); self.bound.factor = 1",
    "Elsewhere": "multiprocessing.set_start_method('spawn', force=True)",
}
PLACES = {"Plain": "worker", "Bound": "thread", "Elsewhere": "runner"}


class Hangs:
    """Keeps the process that deserialises it waiting, in the first attempts."""

    def __init__(self, file: Path, seconds: float) -> None:
        there = f"__import__('os').path.exists({str(file)!r})"
        self.code = f"(__import__('time').sleep({seconds}) or 7) if {there} else 7"

    def __reduce__(self) -> Any:
        return eval, (self.code,)


@contextlib.contextmanager
def all_places(folder: Path, **env: str) -> Iterator[tuple[Service, Versions]]:
    versions = Versions(folder / "home")
    for name, first in FIRST.items():
        write_model(folder / "models", name, PLAIN.format(name=name, first=first))
        write_example(folder / "models" / name, {})
        versions.store(name, 1, 1, call_seconds=1e-5)
    versions.serve(**dict.fromkeys(FIRST, 1))
    with serving(folder, folder / "models", env={**STORE_AWAY, **env}) as service:
        yield service, versions


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Versions]]:
    """A model in each place."""
    with all_places(tmp_path_factory.mktemp("faults")) as found:
        service, _ = found
        places = {
            name: entry["placement"]["place"] for name, entry in service.release()["models"].items()
        }
        assert places == PLACES
        yield found


def refused(service: Service, name: str, number: int) -> int:
    """How many log lines say that a version of a model does not load."""
    return len(service.lines(event="version_refused", model=name, version=number))


def damage(version: FittedVersion) -> None:
    with version.file.open("r+b") as file:
        file.truncate(3)


@pytest.mark.parametrize("name", FIRST)
def test_a_damaged_artefact_changes_nothing(running: tuple[Service, Versions], name: str) -> None:
    """Truncated, or gone: the version before goes on; the next good one serves."""
    service, versions = running
    with load(service.port, f"/models/{name}", BODY, connections=4, check=truthful) as tally:
        damage(versions.store(name, 2, 2))
        versions.serve(**{name: 2})
        until(lambda: refused(service, name, 2) >= WORKERS)
        versions.store(name, 3, 3).file.unlink()
        versions.serve(**{name: 3})
        until(lambda: refused(service, name, 3) >= WORKERS)
        assert version_of_next(service, name) == 1
        versions.store(name, 4, 4)
        versions.serve(**{name: 4})
        until(lambda: versions.serving(name, 4, WORKERS))
    assert tally.failures == []
    assert version_of_next(service, name) == 4
    assert refused(service, name, 2) == WORKERS  # each worker says it once


def version_of_next(service: Service, name: str) -> int:
    answer = requests.post(f"{service.base}/{name}", json={"variables": {}}, timeout=patient(10))
    assert answer.status_code == 200, answer.text
    found = {key.lower(): value for key, value in answer.headers.items()}
    assert answer.json()["value"] == version_of(found)
    return version_of(found)


@pytest.mark.parametrize("name", FIRST)
def test_an_artefact_that_comes_back_serves(running: tuple[Service, Versions], name: str) -> None:
    """A volume that was away: the version is tried again, and when its file is written anew."""
    service, versions = running
    version = versions.store(name, 20, 20)
    content = version.file.read_bytes()
    version.file.unlink()
    versions.serve(**{name: 20})
    until(lambda: refused(service, name, 20) >= 1)
    version.file.write_bytes(content)
    until(lambda: versions.serving(name, 20, WORKERS))


@pytest.mark.parametrize("name", FIRST)
def test_a_file_of_versions_that_vanishes_or_is_damaged_unloads_nothing(
    running: tuple[Service, Versions], name: str
) -> None:
    service, versions = running
    versions.store(name, 30, 30)
    versions.serve(**{name: 30})
    until(lambda: versions.serving(name, 30, WORKERS))
    file = versions.home / "fitted.json"
    file.write_text("{")
    versions.store(name, 31, 31)
    assert version_of_next(service, name) == 30
    file.unlink()
    assert version_of_next(service, name) == 30
    versions.serve(**{name: 31})
    until(lambda: versions.serving(name, 31, WORKERS))


@pytest.mark.parametrize("name", FIRST)
def test_without_a_current_version_the_model_answers_as_before_its_first(
    running: tuple[Service, Versions], name: str
) -> None:
    service, versions = running
    versions.serve(**{name: None})
    until(lambda: versions.serving(name, None, WORKERS))
    assert version_of_next(service, name) == 0
    versions.store(name, 40, 40)
    versions.serve(**{name: 40})
    until(lambda: versions.serving(name, 40, WORKERS))


@pytest.mark.parametrize("name", FIRST)
def test_deserialising_that_takes_long_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    """The version before answers meanwhile; when loading has ended, or is tried again, the new one
    does.
    """
    blocked = tmp_path / "blocked"
    blocked.touch()
    with all_places(tmp_path, MODELSYNC_CHECK_TIMEOUT=setting(5)) as (service, versions):
        with load(service.port, f"/models/{name}", BODY, connections=4, check=truthful) as tally:
            versions.store(name, 7, Hangs(blocked, 1000))
            versions.serve(**{name: 7})
            until(lambda: refused(service, name, 7) >= 1, 40)
            assert version_of_next(service, name) == 1
            blocked.unlink()
            until(lambda: versions.serving(name, 7, WORKERS), 60)
        assert tally.failures == []
        assert version_of_next(service, name) == 7


@pytest.mark.parametrize("name", FIRST)
def test_many_versions_later_the_memory_is_free(
    running: tuple[Service, Versions], name: str
) -> None:
    """Each holds 20 MB. The allocator keeps one or two for each thread that has loaded some; if all
    stayed in a process, that would be twice as much as may be used here.
    """
    service, versions = running
    processes = [one for one in everything(service) if one.is_running()]
    before = rss(processes)
    size, numbers = 20_000_000, range(100, 125)
    for number in numbers:
        fitted = SimpleNamespace(value=number, held=bytes([number]) * size)
        version = versions.store(name, number, fitted)
        versions.serve(**{name: number})
        until(lambda number=number: versions.serving(name, number, WORKERS))  # type: ignore[misc]
        version.file.unlink()
    holding = 1 if PLACES[name] == "runner" else WORKERS
    limit = before + holding * len(numbers) * size / 2
    until(lambda: rss(processes) < limit, 30, f"{before} {rss(processes)}")
    assert version_of_next(service, name) == 124


def everything(service: Service) -> list[psutil.Process]:
    masters = service.masters()
    return [*masters, *(child for master in masters for child in master.children(recursive=True))]


def rss(processes: list[psutil.Process]) -> float:
    return float(sum(one.memory_info().rss for one in processes))


def test_labels_that_move_and_workers_that_are_killed_mix_no_answers(tmp_path: Path) -> None:
    """A worker that replaces another is forked from a master that has loaded an older version."""
    seen = Tally()
    with all_places(tmp_path) as (service, versions):
        for number in range(2, 6):
            versions.store("Plain", number, number, call_seconds=1e-5)
        versions.serve(Plain=5)
        until(lambda: versions.serving("Plain", 5, WORKERS))
        body = b'{"variables": {}, "key": "canary"}'
        versions.label("Plain", "canary", 2)
        with load(service.port, "/models/Plain", body, connections=4, check=truthful) as seen:
            for number in (3, 4, 5, 2, 3):
                versions.label("Plain", "canary", number)
        assert seen.failures == []
        killed = service.workers()[0]
        killed.send_signal(signal.SIGKILL)
        until(lambda: len(service.workers()) == WORKERS and killed not in service.workers())
        until(lambda: versions.serving("Plain", 5, WORKERS))
        for _ in range(20):
            assert version_of_next(service, "Plain") == 5


def test_a_release_and_a_version_may_move_at_the_same_moment(tmp_path: Path) -> None:
    """Answers come from one version and one release each; none fails."""
    with all_places(tmp_path) as (service, versions):
        with load(service.port, "/models/Plain", BODY, connections=4, check=truthful) as tally:
            for number in range(2, 5):
                before = service.release()["id"]
                code = PLAIN.format(name="Plain", first=f"self.release = {number}")
                write_model(tmp_path / "models", "Plain", code)
                versions.store("Plain", number, number, call_seconds=1e-5)
                service.sync()
                versions.serve(Plain=number)
                until(lambda before=before: service.release()["id"] != before, 30)  # type: ignore[misc]
                service.swapped()
                until(lambda number=number: versions.serving("Plain", number, WORKERS))  # type: ignore[misc]
        assert tally.failures == []
        assert version_of_next(service, "Plain") == 4
