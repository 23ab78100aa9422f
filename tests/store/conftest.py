"""A store in each kind of database, and with its blobs in each place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelsync.settings import Settings
from modelsync.settings.secret import Secret
from modelsync.settings.service import State
from modelsync.settings.training import StoreSettings
from modelsync.store import Store
from modelsync.store import open as open_store
from modelsync.store.catalog import Catalog
from tests.fixtures import postgres as postgres_programs
from tests.fixtures import s3 as s3_programs
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.s3 import ACCESS_KEY, SECRET_KEY, S3Server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL for all tests of this process; each has a database of its own."""
    if not postgres_programs.programs():
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for all tests of this process; each has a bucket of its own."""
    if not s3_programs.program():
        pytest.skip("there is no S3 server here: `make s3-server` builds one, with Go")
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with an empty database of each kind."""
    url = ""
    if request.param == "PostgreSQL":
        url = request.getfixturevalue("postgres").make_database()
    return Settings(
        state=State(home=tmp_path / "home"), store=StoreSettings(database_url=Secret(url))
    )


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    """A store with its blobs in the database."""
    with_blobs = open_store(settings)
    yield with_blobs
    with_blobs.catalog.database.close()


@pytest.fixture
def catalog(store: Store) -> Catalog:
    """The catalog of the store."""
    return store.catalog


@pytest.fixture
def s3_settings(s3: S3Server, tmp_path: Path) -> Settings:
    """Settings with a SQLite database and an empty bucket."""
    return on_s3(Settings(state=State(home=tmp_path / "home")), s3)


@pytest.fixture(params=["database", "S3"])
def any_store(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Store]:
    """A store with its blobs in each place."""
    if request.param == "S3":
        settings = on_s3(settings, request.getfixturevalue("s3"))
    with_blobs = open_store(settings)
    yield with_blobs
    with_blobs.catalog.database.close()


def on_s3(settings: Settings, server: S3Server) -> Settings:
    """The same settings with the blobs in a new bucket."""
    place = replace(
        settings.store,
        artifacts=f"s3://{server.make_bucket()}/models",
        s3_endpoint=server.endpoint,
        s3_access_key=Secret(ACCESS_KEY),
        s3_secret_key=Secret(SECRET_KEY),
    )
    return replace(settings, store=place)
