"""Fitted versions that end the process that loads or calls them: another one goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fixtures.load import load
from tests.fixtures.service import serving
from tests.fixtures.versions import STORE_AWAY
from tests.service.test_version_faults import BODY, WORKERS, all_places, refused, version_of_next
from tests.waiting import patient, until

pytestmark = pytest.mark.long


class Crashes:
    """Ends the process that deserialises it."""

    def __reduce__(self) -> Any:
        return os._exit, (11,)


def ends() -> Any:
    """What ends the process that calls the model with it, but for the call that warms it up."""

    class Ends:  # here, so that it is pickled by value
        calls = 0

        @property
        def value(self) -> int:
            type(self).calls += 1
            return os._exit(11) if self.calls > 1 else 2

    return Ends()


def test_a_version_that_ends_its_process_is_not_loaded_again_and_again(tmp_path: Path) -> None:
    """One worker ends, perhaps two; never all of them, and a restart serves the version before."""
    with all_places(tmp_path) as (service, versions):
        with load(service.port, "/models/Plain", BODY, connections=4) as tally:
            versions.store("Plain", 2, Crashes())
            versions.serve(Plain=2)
            until(lambda: refused(service, "Plain", 2) >= WORKERS, 40)
            assert version_of_next(service, "Plain") == 1
        deaths = service.lines(event="worker_ended")
        assert 1 <= len(deaths) <= 2, deaths
        assert version_of_next(service, "Elsewhere") == 1
        assert len([one for one in tally.failures if "broken off" not in one]) <= 8
    with serving(tmp_path, tmp_path / "models", env=STORE_AWAY) as again:
        assert version_of_next(again, "Plain") == 1
        assert not again.lines(event="worker_ended")


def test_a_version_that_ends_its_runner_leaves_the_version_before(tmp_path: Path) -> None:
    with all_places(tmp_path) as (service, versions):
        versions.store("Elsewhere", 2, Crashes())
        versions.serve(Elsewhere=2)
        until(lambda: refused(service, "Elsewhere", 2) >= 1, 40)
        until(lambda: version_of_next(service, "Elsewhere") == 1, 40)
        assert version_of_next(service, "Plain") == 1


def test_a_version_whose_calls_end_its_runner_is_off_until_another_one_serves(
    tmp_path: Path,
) -> None:
    """The next version is a new chance, the one that was off stays off when it comes back."""
    with all_places(tmp_path) as (service, versions):
        versions.store("Elsewhere", 2, ends())
        versions.serve(Elsewhere=2)
        until(lambda: versions.serving("Elsewhere", 2, WORKERS))

        url = f"{service.base}/Elsewhere"

        def is_off() -> bool:
            answer = requests.post(url, json={"variables": {}}, timeout=patient(30))
            return "switched off" in answer.text

        until(is_off, 60)
        versions.serve(Elsewhere=1)
        until(lambda: version_of_next(service, "Elsewhere") == 1, 40)
        until(lambda: versions.serving("Elsewhere", 1, WORKERS))
        assert not is_off()
        versions.serve(Elsewhere=2)
        until(lambda: versions.serving("Elsewhere", 2, WORKERS))
        until(is_off, 10)
        assert version_of_next(service, "Plain") == 1
