"""Blobs, in the database and on S3."""

from __future__ import annotations

import hashlib
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from modelsync import store as stores
from modelsync.errors import ArtifactCorrupt, StorageFailed, StoreUnavailable
from modelsync.settings import Settings
from modelsync.settings.service import State
from modelsync.store import Store
from modelsync.store.blobs import DAY, PART
from modelsync.store.tables import blobs, chunks, contents
from tests.fixtures.fits import OWNER, artefact, ask, fit, in_processes, run
from tests.fixtures.s3 import S3Server

LATER = -60.0
"""As seconds of `collect`: everything is older than a minute from now."""


def stored(store: Store) -> set[str]:
    """The digests of all blobs. Every content belongs to one of them."""
    with store.catalog.database.reading() as connection:
        found = {row.content: row.sha256 for row in connection.execute(blobs.select())}
        assert {row.id for row in connection.execute(contents.select())} == set(found)
    return set(found.values())


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART])
def test_a_blob_comes_back_as_it_was(any_store: Store, tmp_path: Path, size: int) -> None:
    """Of any size, by its SHA-256."""
    file = tmp_path / "model.joblib"
    file.write_bytes(os.urandom(size))
    sha256 = any_store.blobs.put(file)
    assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    any_store.blobs.fetch(sha256, tmp_path / "fetched")
    assert (tmp_path / "fetched").read_bytes() == file.read_bytes()
    assert any_store.blobs.read(sha256) == file.read_bytes()


def test_the_same_bytes_are_stored_once(any_store: Store, tmp_path: Path) -> None:
    """By several processes at once too; nothing is left of the slower ones after a day."""
    (tmp_path / "file").write_bytes(b"x" * 3 * PART)
    found = in_processes(4, lambda _: any_store.blobs.put(tmp_path / "file"))
    assert len(set(found)) == 1
    assert any_store.blobs.put_bytes(b"x" * 3 * PART) == found[0]
    job = ask(any_store.catalog, input=found[0])
    any_store.blobs.collect(LATER)
    assert stored(any_store) == {found[0]}
    assert any_store.blobs.read(found[0]) == b"x" * 3 * PART
    assert job.asked.input == found[0]


def test_a_missing_blob_is_not_fetched(any_store: Store, tmp_path: Path) -> None:
    """And leaves no file, not even a temporary one."""
    for call in (
        lambda: any_store.blobs.fetch("0" * 64, tmp_path / "fetched"),
        lambda: any_store.blobs.read("0" * 64),
    ):
        with pytest.raises(ArtifactCorrupt, match="has no artefact 000000000000"):
            call()
    assert not (tmp_path / "fetched").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_blob_is_not_fetched(store: Store, tmp_path: Path) -> None:
    """One that is altered, truncated or has lost a part; what was fetched before stays."""
    sha256 = store.blobs.put_bytes(b"x" * 2 * PART)
    target = tmp_path / "fetched"
    target.write_bytes(b"before")
    for change in (
        chunks.update().where(chunks.c.position == 1).values(data=b"y" * PART),
        chunks.update().where(chunks.c.position == 1).values(data=b"x"),
        chunks.delete().where(chunks.c.position == 1),
        chunks.delete(),
    ):
        with store.catalog.database.writing() as (connection, _):
            connection.execute(change)
        with pytest.raises(ArtifactCorrupt, match="is damaged in the store"):
            store.blobs.fetch(sha256, target)
        with pytest.raises(ArtifactCorrupt, match="is damaged in the store"):
            store.blobs.read(sha256)
    assert target.read_bytes() == b"before"
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"fetched"}


def test_a_damaged_object_is_not_fetched(
    s3_settings: Settings, s3: S3Server, tmp_path: Path
) -> None:
    """The same on S3."""
    store = stores.open(s3_settings)
    bucket = s3_settings.store.artifacts.split("/")[2]
    sha256 = store.blobs.put_bytes(b"x" * PART)
    [file] = s3.objects(bucket)
    for content in (b"y" * PART, b"x", b""):
        file.write_bytes(content)
        with pytest.raises(ArtifactCorrupt, match="damaged"):
            store.blobs.fetch(sha256, tmp_path / "fetched")
    file.unlink()
    with pytest.raises(ArtifactCorrupt, match="an artefact is missing on S3"):
        store.blobs.fetch(sha256, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()


def test_a_file_that_cannot_be_written_is_an_error_of_this_machine(
    store: Store, tmp_path: Path
) -> None:
    """Not of the store, and the message has no path."""
    sha256 = store.blobs.put_bytes(b"x")
    with pytest.raises(StorageFailed, match=r"No such file or directory$"):
        store.blobs.fetch(sha256, tmp_path / "missing" / "fetched")


def test_a_file_that_changes_meanwhile_is_not_stored(
    any_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest would be another one."""
    file = tmp_path / "file"
    file.write_bytes(b"x")
    use = any_store.blobs._use

    def write_between(sha256: str) -> bool:
        file.write_bytes(b"y")
        return use(sha256)

    monkeypatch.setattr(any_store.blobs, "_use", write_between)
    with pytest.raises(ArtifactCorrupt, match="changed while it was stored"):
        any_store.blobs.put(file)
    any_store.blobs.collect(LATER)
    assert stored(any_store) == set()


# --- collecting -----------------------------------------------------------------------------------


def test_a_blob_that_nobody_needs_is_collected(any_store: Store) -> None:
    """Those of versions stay, and those that live jobs start from."""
    catalog, blobs = any_store.catalog, any_store.blobs
    input, checkpoint, nobody = (blobs.put_bytes(text) for text in (b"in", b"half", b"nobody's"))
    version = fit(any_store)
    job = run(catalog, ask(catalog, input=input))
    catalog.checkpoint(job.id, OWNER, checkpoint, 5)
    assert blobs.collect(LATER) == 1
    assert stored(any_store) == {version.made.sha256, input, checkpoint}
    catalog.fail(job.id, OWNER, {})
    assert blobs.collect(LATER) == 2
    catalog.delete("Churn", version.number, force=True)
    assert blobs.collect(LATER) == 1
    assert stored(any_store) == set()
    with pytest.raises(ArtifactCorrupt):
        blobs.read(nobody)


def test_a_blob_is_kept_for_a_day(any_store: Store) -> None:
    """Since it was last put: the row that needs it may come next."""
    blobs = any_store.blobs
    job = run(any_store.catalog, ask(any_store.catalog))
    blobs.put_bytes(b"a model")
    assert blobs.collect() == 0
    age(any_store, DAY + 60)
    made = artefact(any_store)  # the same bytes are put again: they count from now on
    assert blobs.collect() == 0
    any_store.catalog.finish(job.id, OWNER, made)
    age(any_store, DAY + 60)
    assert blobs.collect() == 0
    assert blobs.read(made.sha256) == b"a model"
    any_store.catalog.delete_all("Churn", force=True)
    assert blobs.collect() == 1


def age(store: Store, seconds: float) -> None:
    """Make everything in the store so much older."""
    with store.catalog.database.writing() as (connection, _):
        for table, column in ((blobs, blobs.c.used), (contents, contents.c.created)):
            for (value,) in connection.execute(table.select().with_only_columns(column)).all():
                older = value.fromtimestamp(value.timestamp() - seconds, value.tzinfo)
                connection.execute(table.update().where(column == value).values({column: older}))


@pytest.mark.parametrize("older_than", [DAY, LATER])
def test_what_is_being_put_is_not_collected(
    any_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, older_than: float
) -> None:
    """Unless it takes a day: then the put is refused, rather than a blob left without its bytes."""
    blobs, complete = any_store.blobs, any_store.blobs._complete

    def collect_between(*arguments: Any) -> None:
        blobs.collect(older_than)
        complete(*arguments)

    monkeypatch.setattr(blobs, "_complete", collect_between)
    if older_than == LATER:
        with pytest.raises(StoreUnavailable, match="it was given up"):
            blobs.put_bytes(b"x")
    else:
        assert blobs.read(blobs.put_bytes(b"x")) == b"x"
    blobs.collect(LATER)
    assert stored(any_store) == set()


def test_what_is_put_while_others_are_collected_stays(any_store: Store) -> None:
    """Puts of the same bytes, and versions made of them, beside collectors of everything."""
    for index in range(4):
        ask(any_store.catalog, f"Model{index}")

    def work(index: int) -> None:
        if index >= 4:
            for _ in range(10):
                any_store.blobs.collect(LATER)
            return
        job = any_store.catalog.claim(f"host{index}:1", concurrency=9)
        assert job
        while True:  # collected between put and finish, as after a day: put again
            try:
                made = artefact(any_store, b"all the same")
                any_store.catalog.finish(job.id, f"host{index}:1", made)
            except (ArtifactCorrupt, StoreUnavailable):
                continue
            return

    in_processes(6, work)
    models = any_store.catalog.models()
    assert {record.current for record in models.values()} == {1}
    any_store.blobs.collect(LATER)
    [sha256] = stored(any_store)
    assert any_store.blobs.read(sha256) == b"all the same"


def test_what_is_collected_while_it_is_put_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a day: whoever puts it hears that, and may try again."""
    write = store.blobs._writes_to.write

    def late(*arguments: Any) -> None:
        store.blobs.collect(LATER)
        write(*arguments)

    monkeypatch.setattr(store.blobs._writes_to, "write", late)
    with pytest.raises(StoreUnavailable, match="given up"):
        store.blobs.put_bytes(b"slow")


# --- places ---------------------------------------------------------------------------------------


def test_objects_stay_readable_when_blobs_move(
    s3_settings: Settings, s3: S3Server, tmp_path: Path
) -> None:
    """Old ones are read from where they are, whatever `MODELSYNC_ARTIFACTS` says today."""
    old = Settings(state=s3_settings.state)
    in_database = stores.open(old).blobs.put_bytes(b"old")
    now = stores.open(s3_settings)
    on_s3 = now.blobs.put_bytes(b"new")
    assert len(s3.objects(s3_settings.store.artifacts.split("/")[2])) == 1
    for blob, content in ((in_database, b"old"), (on_s3, b"new")):
        now.blobs.fetch(blob, tmp_path / "fetched")
        assert (tmp_path / "fetched").read_bytes() == content
    assert now.blobs.collect(LATER) == 2
    assert s3.objects(s3_settings.store.artifacts.split("/")[2]) == []


@pytest.mark.parametrize("place", ["SQLite", "S3"])
def test_memory_is_bounded(tmp_path: Path, place: str, request: pytest.FixtureRequest) -> None:
    """By the part and not by the blob: 100 MB pass through far less."""
    settings = Settings(state=State(home=tmp_path / "home"))
    if place == "S3":
        settings = request.getfixturevalue("s3_settings")
    blobs = stores.open(settings).blobs
    file, size = tmp_path / "file", 100 * 1000**2
    with file.open("wb") as big:
        big.truncate(size)
    blobs.put_bytes(b"x")  # loads what it needs

    def grown(_: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        blobs.fetch(blobs.put(file), tmp_path / "fetched")
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024

    assert max(in_processes(1, grown)) < size / 2
    assert (tmp_path / "fetched").stat().st_size == size
