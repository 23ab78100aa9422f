"""Versions that requests name: how they are found, loaded and forgotten."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from modelsync.errors import ModelUnavailable, NotFitted, RequestError, UnknownVersion
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.version_cache import VersionCache
from modelsync.models.discovery.folders import discover
from modelsync.models.versions import FittedVersion
from modelsync.observability.counters import Counters
from modelsync.protocols.native import NATIVE
from tests.fixtures.service import write_model
from tests.fixtures.versions import Versions
from tests.waiting import patient, until

BODY = b'{"variables": {}}'

MODEL = """
class M:
    model = 0

    def fit(self, x, y=None):
        return len(x)

    def transform_predict(self):
        return {"value": self.model}
"""


class Fixture:
    """One model with its versions, and the cache of one process, which holds two of them."""

    def __init__(self, folder: Path) -> None:
        write_model(folder / "models", "M", MODEL)
        [spec] = discover(folder / "models")
        self.versions = Versions(folder / "home")
        self.runner = InProcessRunner.load(spec)
        self.loads: list[int] = []
        self.fetched: list[int] = []
        load = self.runner._load
        self.runner._load = lambda version: (
            self.loads.append(version.number if version else 0) or load(version)  # type: ignore[func-returns-value]
        )
        self.plane = DataPlane(
            {"M": self.runner}, {}, Counters(folder, ["M"]), release="r", threads=2, max_queue=9,
            timeout=patient(5),
        )  # fmt: skip
        self.cache = VersionCache(
            self.plane,
            self.versions.fitted,
            limit=2,
            load_limit=patient(5),
            fetch=lambda: self.fetch,
        )
        self.elsewhere = folder / "elsewhere"

    def fetch(self, version: FittedVersion) -> Path:
        self.fetched.append(version.number)
        return self.elsewhere

    def ask(self, version: str) -> int:
        outcome, _ = self.cache.predict("M", version, BODY, NATIVE, "id")
        if isinstance(outcome, RequestError):
            raise outcome
        return int(json.loads(outcome)["value"])


@pytest.fixture
def one(tmp_path: Path) -> Fixture:
    found = Fixture(tmp_path)
    for number in (1, 2, 3):
        found.versions.store("M", number, 10 * number)
    found.versions.serve(M=None)
    return found


def test_a_version_has_several_names(one: Fixture) -> None:
    one.versions.label("M", "stable", 2)
    assert [one.ask(name) for name in ("2", "v2", "k2", "stable", "1")] == [20] * 4 + [10]
    assert one.loads == [2, 1]


def test_what_there_is_not_is_told_with_what_there_is(one: Fixture) -> None:
    with pytest.raises(UnknownVersion, match=re.escape("its versions are 1, 2, 3; names")):
        one.ask("9")
    one.versions.models["M"] = replace(one.versions.models["M"], versions={}, names={})
    one.versions.write()
    with pytest.raises(NotFitted):
        one.ask("1")


def test_those_that_were_used_last_stay(one: Fixture) -> None:
    for number in (1, 2, 1, 3, 1, 2):
        assert one.ask(str(number)) == 10 * number
    assert one.loads == [1, 2, 3, 2]
    until(lambda: len(one.cache._entries) == 2)


def test_what_is_forgotten_is_loaded_anew(one: Fixture) -> None:
    one.ask("1")
    one.cache.forget(lambda version: version.number == 1)
    one.ask("1")
    assert one.loads == [1, 1]


def test_an_artefact_that_is_not_on_disk_is_fetched(one: Fixture) -> None:
    one.versions.models["M"].versions[1].file.rename(one.elsewhere)
    assert one.ask("1") == 10
    assert one.fetched == [1]


def test_a_version_that_does_not_load_is_not_tried_with_every_request(one: Fixture) -> None:
    one.versions.models["M"].versions[1].file.write_bytes(b"damaged")
    for _ in range(3):
        with pytest.raises(ModelUnavailable, match="version 1 of M does not load"):
            one.ask("1")
    assert one.loads == [1]
    assert one.ask("2") == 20
