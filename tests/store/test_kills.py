"""Processes killed at any moment: no version without its blob, all jobs end."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from itertools import count

from modelsync.store import Store
from modelsync.store.blobs import PART
from modelsync.store.tables import blobs, contents
from tests.fixtures.fits import OWNER, artefact, ask, fit, run

EVERYTHING = -60.0


def dies(work: Callable[[], object]) -> None:
    """Run this in a process that is killed when it is done, and before it can say goodbye."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def check(store: Store) -> None:
    """What must hold whatever was killed."""
    catalog = store.catalog
    catalog.lose(0)
    assert all(job.final or job.state == "queued" for job in catalog.jobs(limit=10_000))
    store.blobs.collect(EVERYTHING)
    needed = set()
    for record in catalog.models().values():
        numbers = [version.number for version in record.versions]
        assert record.current in [None, *numbers]
        assert record.current == (max(numbers) if numbers else None)
        for version in record.versions:
            assert len(store.blobs.read(version.made.sha256)) == version.made.size
            needed.add(version.made.sha256)
    with catalog.database.reading() as connection:
        kept = connection.execute(blobs.select()).all()
        assert {row.content for row in kept} == {
            row.id for row in connection.execute(contents.select())
        }
    assert {row.sha256 for row in kept} == needed


def test_a_kill_between_blob_and_row_leaves_no_version(any_store: Store) -> None:
    """A blob too many, which is collected; the job is lost, and the next one is made."""
    job = run(any_store.catalog, ask(any_store.catalog))
    dies(lambda: artefact(any_store))
    check(any_store)
    assert any_store.catalog.job("Churn", job.id).state == "lost"
    assert fit(any_store).number == 2
    check(any_store)


def test_a_kill_after_the_row_loses_nothing(any_store: Store) -> None:
    """The job is done, although its process never heard of it."""
    job = run(any_store.catalog, ask(any_store.catalog))
    dies(lambda: any_store.catalog.finish(job.id, OWNER, artefact(any_store)))
    assert any_store.catalog.model("Churn").current == 1
    assert any_store.catalog.job("Churn", job.id).state == "done"
    check(any_store)


def test_a_kill_in_the_middle_of_a_transaction_undoes_it(store: Store) -> None:
    """And holds up nobody."""

    def half() -> None:
        with store.catalog.database.writing() as (connection, _):
            connection.execute(contents.delete())
            os.kill(os.getpid(), signal.SIGKILL)

    fit(store)
    dies(half)
    assert fit(store).number == 2
    check(store)


def test_kills_at_any_moment(any_store: Store) -> None:
    """A process that asks, runs, stores, labels, deletes, collects, killed again and again."""
    moments = random.Random(7)
    for round_ in range(4):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                work(any_store, round_, writer)
            finally:
                os._exit(1)
        os.close(writer)
        for _ in range(moments.randrange(1, 4)):
            assert os.read(reader, 1), "the process ended by itself"
        signal.sigtimedwait([], moments.random() * 0.05)  # so that it may be in any step
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
    check(any_store)
    assert fit(any_store).number > 4


def work(store: Store, round_: int, steps: int) -> None:
    """All that a service does with its store, for ever; a byte tells of each step."""
    for number in count():
        owner = f"round{round_}:{number}"
        job = ask(store.catalog, key=f"{round_}-{number}")
        store.catalog.lose(0)
        claimed = store.catalog.claim(owner, concurrency=9, id=job.id)
        assert claimed
        made = artefact(store, os.urandom(2 * PART))
        version = store.catalog.finish(job.id, owner, made)
        os.write(steps, b".")
        store.catalog.set_label("Churn", "stable", version.number)
        if number % 2:
            store.catalog.delete("Churn", version.number - 1, force=True)
            store.blobs.collect(EVERYTHING)
