"""The mirror writes to disk what serves, and nothing that cannot be had."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from pathlib import Path

import pytest

from modelsync.errors import StoreUnavailable
from modelsync.models.versions import FittedVersion
from modelsync.releases.fitted import FittedVersions
from modelsync.store import Store
from modelsync.store.location import database_file
from modelsync.training.artifacts import UNUSED
from modelsync.training.cleaning import Cleaning
from modelsync.training.mirror import VERIFY, VersionMirror
from tests.training.storing import digest, fitted, open_store


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    return open_store(tmp_path / "home")


@pytest.fixture
def mirror(tmp_path: Path, opened: Store) -> VersionMirror:
    return VersionMirror(tmp_path / "home", opened)


@pytest.fixture
def files(tmp_path: Path) -> FittedVersions:
    return FittedVersions(tmp_path / "home")


def serving(files: FittedVersions, model: str = "Model") -> FittedVersion | None:
    return files.read()[model].serving


def damage(home: Path, sha256: str) -> None:
    """Change a blob where it is stored."""
    with sqlite3.connect(database_file(home)) as database:
        database.execute(
            "UPDATE modelsync_chunks SET data = x'00' WHERE content = "
            "(SELECT content FROM modelsync_blobs WHERE sha256 = ?)",
            (sha256,),
        )
    database.close()


def test_a_version_is_on_disk_with_its_artefact(
    tmp_path: Path, opened: Store, mirror: VersionMirror, files: FittedVersions
) -> None:
    """Before it is named, its file is there; by key, label and number it is found."""
    mirror.step(0)
    assert files.read() == {}
    version = fitted(opened, tmp_path, b"one", key="monday")
    opened.catalog.set_label("Model", "stable", version.number)
    mirror.step(1)
    found = serving(files)
    assert found
    assert found.file.read_bytes() == b"one"
    assert (found.number, found.key, found.sha256) == (1, "monday", digest(b"one"))
    one = files.read()["Model"]
    assert [one.find(name) for name in ("monday", "stable", "1", "v1")] == [found] * 4


def test_only_the_current_artefact_is_fetched(
    tmp_path: Path, opened: Store, mirror: VersionMirror, files: FittedVersions
) -> None:
    """Others are named, and fetched by whoever is asked for them."""
    fitted(opened, tmp_path, b"one", key="same")
    fitted(opened, tmp_path, b"two", key="same")
    mirror.step(0)
    one = files.read()["Model"]
    assert one.current == 2
    assert [one.versions[number].file.exists() for number in (1, 2)] == [False, True]
    assert one.find("same") == one.versions[2]
    opened.catalog.rollback("Model")
    mirror.step(1)
    found = serving(files)
    assert found
    assert found.file.read_bytes() == b"one"


def test_nothing_is_written_where_nothing_has_changed(
    tmp_path: Path, opened: Store, mirror: VersionMirror, files: FittedVersions
) -> None:
    """Workers look at the file's stamp: a write would make each of them read it."""
    fitted(opened, tmp_path, b"one")
    mirror.step(0)
    stamp = files.stamp()
    for now in range(1, 20):
        mirror.step(float(now))
    VersionMirror(tmp_path / "home", opened).step(0)  # nor by the next trainer
    assert files.stamp() == stamp


def test_a_damaged_artefact_leaves_the_version_before(
    tmp_path: Path,
    opened: Store,
    mirror: VersionMirror,
    files: FittedVersions,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Said once in the log, and not for ever: what is whole again serves."""
    fitted(opened, tmp_path, b"one")
    mirror.step(0)
    version = fitted(opened, tmp_path, b"two")
    damage(tmp_path / "home", version.made.sha256)
    with caplog.at_level(logging.ERROR):
        for now in range(1, 30):
            mirror.step(float(now))
    assert len(caplog.records) == 1
    assert "version 2 of Model cannot be had" in caplog.text
    assert "SHA-256" in caplog.text
    found = serving(files)
    assert found
    assert (found.number, found.file.read_bytes()) == (1, b"one")
    assert not list(files.artifacts.glob(f"*{version.made.sha256}*"))
    third = fitted(opened, tmp_path, b"three")
    mirror.step(31)
    found = serving(files)
    assert found
    assert found.number == third.number


def test_the_version_before_goes_on_although_it_is_deleted(
    tmp_path: Path, opened: Store, mirror: VersionMirror, files: FittedVersions
) -> None:
    """The store has forgotten it, and the disk has it still: better than none."""
    fitted(opened, tmp_path, b"one")
    mirror.step(0)
    version = fitted(opened, tmp_path, b"two")
    damage(tmp_path / "home", version.made.sha256)
    opened.catalog.delete("Model", 1)
    mirror.step(1)
    found = serving(files)
    assert found
    assert found.number == 1
    opened.catalog.delete("Model", 2, force=True)
    mirror.step(2)
    assert serving(files) is None


def test_what_somebody_removes_comes_back(
    tmp_path: Path, opened: Store, mirror: VersionMirror, files: FittedVersions
) -> None:
    """The file of versions, and an artefact."""
    fitted(opened, tmp_path, b"one")
    mirror.step(0)
    (tmp_path / "home" / "fitted.json").unlink()
    mirror.step(VERIFY)
    found = serving(files)
    assert found
    found.file.unlink()
    mirror.step(2 * VERIFY)
    assert found.file.read_bytes() == b"one"
    found.file.write_bytes(b"")
    mirror.step(3 * VERIFY)
    assert found.file.read_bytes() == b"one"


def test_a_copy_that_is_damaged_comes_back(
    tmp_path: Path, opened: Store, mirror: VersionMirror, files: FittedVersions
) -> None:
    """Else the version before would serve from the next start on, although the store is whole."""
    fitted(opened, tmp_path, b"version 1")
    mirror.step(0)
    [version] = files.serving().values()
    version.file.write_bytes(b"version 2")  # of the same size
    mirror.step(VERIFY)
    assert version.file.read_bytes() == b"version 1"


def test_a_version_whose_file_is_gone_for_good_goes_on_in_memory(
    tmp_path: Path, opened: Store, mirror: VersionMirror, files: FittedVersions
) -> None:
    """Its artefact is removed while that in the store cannot be had."""
    version = fitted(opened, tmp_path, b"one")
    mirror.step(0)
    damage(tmp_path / "home", version.made.sha256)
    files.file_of(version.made.sha256).unlink()
    mirror.step(VERIFY)
    mirror.step(2 * VERIFY)
    found = serving(files)
    assert found
    assert found.number == version.number


def test_a_store_that_is_away_changes_nothing(
    tmp_path: Path, opened: Store, mirror: VersionMirror, files: FittedVersions
) -> None:
    """Neither the file of versions nor the artefacts."""
    fitted(opened, tmp_path, b"one")
    mirror.step(0)
    before = serving(files)
    database = database_file(tmp_path / "home")
    away = database.with_name("away")
    database.rename(away)
    database.mkdir()
    with pytest.raises(StoreUnavailable):
        VersionMirror(tmp_path / "home", open_store(tmp_path / "home")).step(0)
    assert serving(files) == before


def test_artefacts_go_a_day_after_their_last_use(
    tmp_path: Path, opened: Store, mirror: VersionMirror, files: FittedVersions
) -> None:
    """Not those that are current, have a label, or are in a worker."""
    contents = {number: f"version {number}".encode() for number in range(1, 6)}
    for content in contents.values():
        fitted(opened, tmp_path, content)
        mirror.step(0)
    opened.catalog.set_label("Model", "stable", 2)
    mirror.step(1)
    files.acknowledge({"Model": 3})
    one = files.read()["Model"].versions
    long_ago = time.time() - UNUSED - 60
    for number in (2, 3, 4, 5):
        os.utime(one[number].file, (long_ago, long_ago))
    (files.artifacts / ".left.tmp").write_bytes(b"half")
    os.utime(files.artifacts / ".left.tmp", (long_ago, long_ago))
    Cleaning(tmp_path / "home", opened).step(0)
    there = {number for number in contents if one[number].file.exists()}
    assert there == {1, 2, 3, 5}  # 1 was used just now
    assert not (files.artifacts / ".left.tmp").exists()


def test_bodies_that_a_killed_worker_has_left_go_a_day_later(tmp_path: Path, opened: Store) -> None:
    """Files, and the folders in which a large body is read."""
    requests = tmp_path / "home" / "run" / "requests"
    for name in ("request-old", "request-new"):
        (requests / name).mkdir(parents=True)
        (requests / name / "body.json").write_text("{}")
    (requests / "old.lock").touch()
    long_ago = time.time() - UNUSED - 60
    for name in ("request-old", "old.lock"):
        os.utime(requests / name, (long_ago, long_ago))
    Cleaning(tmp_path / "home", opened).step(0)
    assert [one.name for one in requests.iterdir()] == ["request-new"]
