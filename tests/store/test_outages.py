"""The database or S3 away, slow, full or damaged: an error that says which, and nothing is lost."""

from __future__ import annotations

import os
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import text

from modelsync import store as stores
from modelsync.errors import SettingsError, StoreUnavailable
from modelsync.settings import Settings
from modelsync.settings.secret import Secret
from modelsync.settings.service import State
from modelsync.settings.training import StoreSettings
from modelsync.store import Store, postgresql
from modelsync.store.database import Database
from tests.fixtures.fits import OWNER, artefact, ask, fit, in_processes, run
from tests.fixtures.postgres import PASSWORD, PostgresServer
from tests.fixtures.s3 import SECRET_KEY, S3Server
from tests.waiting import patient, until

T = TypeVar("T")


@pytest.fixture
def on_postgres(postgres: PostgresServer) -> Iterator[Store]:
    """A store in PostgreSQL, which is up again afterwards."""
    store = stores.open(settings_of(postgres.make_database()))
    yield store
    store.catalog.database.close()
    if not postgres.running:
        postgres.start()


def settings_of(url: str, home: Path = Path("nowhere")) -> Settings:
    """Settings with the database at this URL."""
    return Settings(state=State(home=home), store=StoreSettings(database_url=Secret(url)))


def refusal(call: Callable[[], object]) -> str:
    """The message of the StoreUnavailable that a call raises; it holds no secret, host or path."""
    with pytest.raises(StoreUnavailable) as caught:
        call()
    text = str(caught.value)
    assert caught.value.__cause__ is None
    for secret in (PASSWORD, SECRET_KEY, "modelsync:", "127.0.0.1", "/", "\n"):
        assert secret not in text
    return text


# --- the database ---------------------------------------------------------------------------------


def test_a_database_that_comes_back_is_used_again(
    on_postgres: Store, postgres: PostgresServer, tmp_path: Path
) -> None:
    """By the same object, with everything that was there; a job that ran goes on."""
    store, catalog = on_postgres, on_postgres.catalog
    version = fit(store)
    job = run(catalog, ask(catalog))
    postgres.stop()
    for call in (
        lambda: catalog.models(),
        lambda: ask(catalog),
        lambda: catalog.heartbeat(job.id, OWNER),
        lambda: catalog.revision(),
        lambda: store.blobs.put_bytes(b"other"),
        lambda: store.blobs.fetch(version.made.sha256, tmp_path / "fetched"),
        lambda: store.blobs.collect(),
    ):
        refused = refusal(call)
        assert refused.startswith("the store of trained models is away: its database does not")
    postgres.start()
    assert catalog.heartbeat(job.id, OWNER)
    assert catalog.finish(job.id, OWNER, artefact(store)).number == 2
    store.blobs.fetch(version.made.sha256, tmp_path / "fetched")


def test_a_database_may_be_away_at_the_start(postgres: PostgresServer) -> None:
    """A store is opened without it, and works when it is there."""
    url = postgres.make_database()
    postgres.stop()
    try:
        store = stores.open(settings_of(url))
        assert refusal(store.catalog.models).endswith("connection refused")
    finally:
        postgres.start()
    assert store.catalog.models() == {}


def test_a_flapping_database_loses_nothing(on_postgres: Store, postgres: PostgresServer) -> None:
    """Calls are repeated until they are answered; each thing that was asked for is done once."""
    catalog, ended = on_postgres.catalog, threading.Event()
    versions: list[int] = []

    def insist(call: Callable[..., T], *arguments: Any, **values: Any) -> T:
        while True:
            try:
                return call(*arguments, **values)
            except StoreUnavailable:
                ended.wait(0.02)

    def work() -> None:
        while not ended.is_set():
            job = insist(ask, catalog, idempotency_key=f"request {len(versions)}")
            insist(run, catalog, job)
            made = insist(artefact, on_postgres)
            versions.append(insist(catalog.finish, job.id, OWNER, made).number)

    worker = threading.Thread(target=work)
    worker.start()
    for count in range(1, 5):
        until(lambda more=count * 2: len(versions) > more, 20)  # type: ignore[misc]
        postgres.stop()
        postgres.start()
    ended.set()
    worker.join(patient(60))
    assert versions == list(range(1, len(versions) + 1))
    assert [job.state for job in catalog.jobs()] == ["done"] * len(versions)
    assert catalog.model("Churn").current == len(versions)


def test_a_frozen_database_is_given_up(
    on_postgres: Store, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes connections and says nothing, as when its machine is overloaded."""
    monkeypatch.setattr(postgresql, "_ANSWER", patient(0.5))
    on_postgres.catalog.models()
    refused: list[str] = []
    call = threading.Thread(target=lambda: refused.append(refusal(on_postgres.catalog.models)))
    postgres.freeze()
    try:
        call.start()
        call.join(patient(30))
        assert refused
    finally:
        postgres.thaw()
        call.join(patient(30))
    assert refused[0].endswith(("it is too slow", "the connection broke"))
    assert on_postgres.catalog.models() == {}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda url: url.replace(PASSWORD, "hunter3"), "it refuses the user or the password"),
        (lambda url: url.replace("modelsync:", "nobody:"), "it refuses the user or the password"),
        (lambda url: url.replace("/postgres?", "/other?"), "there is no database of that name"),
        (lambda url: url.replace("127.0.0.1", "nowhere.invalid"), "its host name is unknown"),
        (lambda url: url.replace("127.0.0.1:", "127.0.0.1:1"), "connection refused"),
    ],
)
def test_a_wrong_url_is_told_without_it(
    postgres: PostgresServer, change: Callable[[str], str], reason: str
) -> None:
    """The reason is in the words of an operator."""
    url = change(postgres.make_database())
    if reason == "connection refused":
        url = url.replace(f":1{postgres.port}", ":1")
    assert refusal(stores.open(settings_of(url)).catalog.models).endswith(f", {reason}")


@pytest.mark.parametrize(
    "url", ["mysql://u:hunter2@h/n", "hunter2", "sqlite://", "postgresql+hunter2://h", "://"]
)
def test_a_malformed_url_is_refused_at_once(url: str) -> None:
    """As a wrong setting, with the form that is expected and without the value."""
    with pytest.raises(SettingsError, match="MODELSYNC_DATABASE_URL must be postgresql:") as caught:
        stores.open(settings_of(url))
    assert "hunter2" not in str(caught.value)


def test_a_rotated_password_is_read_from_its_file(postgres: PostgresServer, tmp_path: Path) -> None:
    """The next connection has it; the old ones may have been ended."""
    good = postgres.make_database()
    file = tmp_path / "url"
    file.write_text(good)
    settings = replace(Settings(), store=StoreSettings(database_url=Secret(file=file)))
    store = stores.open(settings)
    assert store.catalog.models() == {}
    postgres.execute("CREATE USER rotated PASSWORD 'r0tated' SUPERUSER")
    postgres.execute("ALTER USER modelsync VALID UNTIL '2000-01-01'")
    try:
        file.write_text(good.replace(f"modelsync:{PASSWORD}", "rotated:r0tated") + "\n")
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'modelsync'",
            user="rotated",
            password="r0tated",
        )
        assert store.catalog.models() == {}
        file.unlink()
        store.catalog.database.close()
        assert refusal(store.catalog.models).endswith("the setting of its database cannot be read")
    finally:
        postgres.execute(
            "ALTER USER modelsync VALID UNTIL 'infinity'", user="rotated", password="r0tated"
        )
        postgres.execute("DROP USER rotated")


def test_a_user_without_rights_is_told(postgres: PostgresServer) -> None:
    """In a schema where it may make no tables, as `public` since PostgreSQL 15; and a standby."""
    postgres.execute("CREATE USER guest PASSWORD 'guest'")
    guest = stores.open(settings_of(postgres.url(user="guest", password="guest")))
    assert refusal(guest.catalog.models).endswith("its user lacks a permission")
    standby = postgres.make_database() + "%20-cdefault_transaction_read_only=on"
    assert refusal(stores.open(settings_of(standby)).catalog.models).endswith("it is read-only")


def test_a_database_can_be_shared(settings: Settings) -> None:
    """With a program that has tables of ordinary names, and Alembic's own."""
    database = Database(settings.store.database_url, settings.state.home)
    with database.writing() as (connection, _):
        for name in ("models", "jobs", "versions", "labels", "alembic_version"):
            connection.execute(text(f"CREATE TABLE {name} (version_num TEXT)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('theirs')"))
    assert fit(stores.open(settings)).number == 1


def test_a_connection_belongs_to_its_process(store: Store) -> None:
    """After a fork parent and child go on, each with connections of its own."""
    fit(store)
    numbers = in_processes(3, lambda index: fit(store, f"Model{index}").number)
    assert numbers == [1, 1, 1]
    assert fit(store).number == 2


# --- the file of SQLite ---------------------------------------------------------------------------


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """What cannot be stored is refused, what is stored stays, and there is room again later."""
    store = stores.open(settings_of("", tmp_path / "home"))
    version = fit(store)

    def fill(_: int) -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 1024**2, 2 * 1024**2))
        return refusal(lambda: store.blobs.put_bytes(os.urandom(5 * 1024**2)))

    assert in_processes(1, fill)[0].endswith(("its disk is full", "its disk fails"))
    assert store.blobs.read(version.made.sha256) == b"a model"
    assert fit(store, content=os.urandom(3 * 1024**2)).number == 2
    store.blobs.collect(-60)


def test_a_file_that_cannot_be_opened_is_told_without_its_path(tmp_path: Path) -> None:
    """The state directory is a file, or a folder is where the database should be."""
    (tmp_path / "file").write_text("")
    (tmp_path / "home" / "modelsync.db").mkdir(parents=True)
    for home in (tmp_path / "file", tmp_path / "home"):
        store = stores.open(settings_of("", home))
        assert refusal(store.catalog.models).endswith("its file cannot be opened")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    """It is neither repaired nor overwritten."""
    (tmp_path / "modelsync.db").write_bytes(b"not a database, or not any more" * 100)
    store = stores.open(settings_of("", tmp_path))
    assert refusal(store.catalog.models).endswith("its file is damaged")
    assert (tmp_path / "modelsync.db").read_bytes().startswith(b"not a database")


def test_a_writer_does_not_stop_readers(tmp_path: Path) -> None:
    """Another process in the middle of a transaction, however long it takes."""
    store = stores.open(settings_of("", tmp_path))
    fit(store)
    other = sqlite3.connect(tmp_path / "modelsync.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("UPDATE modelsync_models SET current = NULL")
    assert store.catalog.model("Churn").current == 1
    other.close()


def test_what_is_removed_gives_its_room_back(tmp_path: Path) -> None:
    """The file shrinks when blobs are collected; only its owner may read it."""
    store = stores.open(settings_of("", tmp_path))
    file = tmp_path / "modelsync.db"
    store.blobs.put_bytes(os.urandom(8 * 1024**2))
    assert file.stat().st_mode & 0o777 == 0o600
    store.catalog.database.close()
    before = file.stat().st_size
    assert store.blobs.collect(-60) == 1
    store.catalog.database.close()
    assert file.stat().st_size < before / 4


# --- S3 -------------------------------------------------------------------------------------------


def test_an_s3_server_that_comes_back_is_used_again(
    s3_settings: Settings, s3: S3Server, tmp_path: Path
) -> None:
    """Meanwhile jobs and versions can be read, and a job that was refused its blob tries again."""
    store = stores.open(s3_settings)
    version = fit(store)
    job = run(store.catalog, ask(store.catalog))
    s3.stop()
    try:
        for call in (
            lambda: artefact(store, b"other"),
            lambda: store.blobs.fetch(version.made.sha256, tmp_path / "fetched"),
            lambda: store.blobs.collect(-60),
        ):
            refused = refusal(call)
            assert refused.startswith("the store of trained models is away: S3 does not answer")
        assert store.catalog.model("Churn").versions == (version,)
    finally:
        s3.start()
    store.catalog.finish(job.id, OWNER, artefact(store, b"other"))
    store.blobs.fetch(version.made.sha256, tmp_path / "fetched")
    store.blobs.collect(-60)
    assert len(s3.objects(s3_settings.store.artifacts.split("/")[2])) == 2


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"s3_secret_key": Secret("wrong")}, "it refuses the user or the password"),
        ({"s3_access_key": Secret("nobody")}, "it refuses the user or the password"),
        ({"artifacts": "s3://no-such-bucket/models"}, "there is no such bucket"),
        ({"s3_endpoint": "http://127.0.0.1:1"}, "the connection broke"),
    ],
)
def test_wrong_settings_of_s3_are_told(
    s3_settings: Settings, values: dict[str, object], reason: str
) -> None:
    """In the words of an operator, without a key."""
    place = replace(s3_settings.store, **values)  # type: ignore[arg-type]
    store = stores.open(replace(s3_settings, store=place))
    assert refusal(lambda: store.blobs.put_bytes(b"x")).endswith(f", {reason}")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"s3_endpoint": "minio:9000"}, "MODELSYNC_S3_ENDPOINT must be a URL"),
        ({"s3_access_key": Secret("key")}, "go together"),
        ({"s3_secret_key": Secret("key")}, "go together"),
    ],
)
def test_settings_that_mean_another_server_are_refused(
    values: dict[str, object], told: str
) -> None:
    """Arrow would ask Amazon's, or with other keys."""
    place = replace(StoreSettings(artifacts="s3://bucket"), **values)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=told):
        stores.open(replace(Settings(), store=place))


@pytest.mark.parametrize("artifacts", ["/var/models", "s3://", "http://h/b", "s3://k:hunter2@b/p"])
def test_a_malformed_place_is_refused_at_once(artifacts: str) -> None:
    """As a wrong setting."""
    settings = replace(Settings(), store=StoreSettings(artifacts=artifacts))
    with pytest.raises(SettingsError, match="MODELSYNC_ARTIFACTS must be s3:") as caught:
        stores.open(settings)
    assert "hunter2" not in str(caught.value)
