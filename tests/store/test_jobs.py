"""Jobs in the catalog, the same in SQLite and PostgreSQL."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain

import pytest

from modelsync.errors import (
    ArtifactCorrupt,
    IdempotencyMismatch,
    JobsFull,
    UnknownJob,
    VersionConflict,
)
from modelsync.store import Store
from modelsync.store.catalog import Catalog
from modelsync.store.job_logs import LONGEST
from modelsync.store.records import NewJob
from tests.fixtures.fits import OWNER, artefact, ask, fit, in_processes, run

CRASH = {"stage": "crash", "kind": "", "message": "killed"}


# --- asked for ------------------------------------------------------------------------------------


def test_a_job_is_kept_as_it_was_asked_for(store: Store) -> None:
    """Every field comes back, times aware and in UTC."""
    blob = store.blobs.put_bytes(b"{}")
    asked = NewJob(
        "Churn", "update", "weekly", True, {"depth": 3}, blob, "data/*.parquet", "y", 2, "c0de",
        "c0mm1t", "re1ease", "f00d", "once", "d1gest", "https://example.org/hook", {"wait": 1.5},
    )  # fmt: skip
    job, made = store.catalog.add_job(asked, max_waiting=1)
    assert made
    assert job == store.catalog.job("Churn", job.id)
    assert (job.asked, job.number, job.state) == (asked, 1, "queued")
    assert job.created.utcoffset() is not None
    assert not job.created.utcoffset()


def test_jobs_are_listed_newest_first(catalog: Catalog) -> None:
    """Those of a model or of all, live ones or all, and no more than asked for."""
    first, other, last = ask(catalog), ask(catalog, "Iris"), ask(catalog)
    catalog.cancel("Churn", first.id)
    assert [job.id for job in catalog.jobs()] == [last.id, other.id, first.id]
    assert [job.id for job in catalog.jobs("Churn")] == [last.id, first.id]
    assert [job.id for job in catalog.jobs(live=True)] == [last.id, other.id]
    assert [job.id for job in catalog.jobs(limit=1)] == [last.id]
    assert catalog.jobs("Nobody") == []


def test_a_job_of_another_model_is_unknown(catalog: Catalog) -> None:
    """An id is looked for in the model that the URL names."""
    job = ask(catalog)
    for call in (catalog.job, catalog.cancel):
        with pytest.raises(UnknownJob, match="Iris has no job"):
            call("Iris", job.id)


def test_an_idempotency_key_gives_its_job_again(catalog: Catalog) -> None:
    """Also with `retrain`, and after it has ended; for another request it is refused."""
    asked = NewJob("Churn", "fit", "k", idempotency_key="once", request_digest="one")
    job, _ = catalog.add_job(asked, max_waiting=10)
    catalog.cancel("Churn", job.id)
    again, made = catalog.add_job(asked, max_waiting=0, retrain=True)
    assert (again.id, made) == (job.id, False)
    with pytest.raises(IdempotencyMismatch, match=job.id):
        catalog.add_job(replace(asked, request_digest="two"), max_waiting=10)
    assert catalog.add_job(replace(asked, model="Iris"), max_waiting=10)[1]


def test_the_same_data_are_fitted_once(store: Store) -> None:
    """While a job with the same data, parameters and code lives, or its version does."""
    asked = NewJob("Churn", "fit", "k", fingerprint="data", code="c0de")

    def made(asked: NewJob, **how: bool) -> bool:
        return store.catalog.add_job(asked, max_waiting=10, **how)[1]

    job, _ = store.catalog.add_job(asked, max_waiting=10)
    assert not made(asked)
    store.catalog.finish(run(store.catalog, job).id, OWNER, artefact(store))
    assert not made(asked)
    assert made(asked, retrain=True)
    assert made(replace(asked, code="other"))
    assert made(replace(asked, key="other"))
    assert made(replace(asked, fingerprint=""))


def test_data_are_fitted_again_when_their_version_is_gone(store: Store) -> None:
    """After a failure, a cancellation or a deletion; and if the key means another version now."""
    catalog = store.catalog
    asked = NewJob("Churn", "fit", "k", fingerprint="data")
    failed = run(catalog, catalog.add_job(asked, max_waiting=10)[0])
    catalog.fail(failed.id, OWNER, CRASH)
    cancelled, made = catalog.add_job(asked, max_waiting=10)
    assert made
    catalog.cancel("Churn", cancelled.id)
    version = fit(store, fingerprint="data")
    catalog.delete("Churn", version.number, force=True)
    assert fit(store, fingerprint="data").number == 4
    assert fit(store, fingerprint="other data").number == 5
    assert catalog.add_job(asked, max_waiting=10)[1]


def test_a_full_queue_takes_no_job(catalog: Catalog) -> None:
    """And gives no number away for it."""
    ask(catalog)
    with pytest.raises(JobsFull, match="1 jobs wait"):
        catalog.add_job(NewJob("Churn", "fit", "other"), max_waiting=1)
    assert ask(catalog).number == 2


def test_a_job_needs_its_input(catalog: Catalog) -> None:
    """A body that was not stored first is no job."""
    with pytest.raises(ArtifactCorrupt):
        ask(catalog, input="0" * 64)
    assert catalog.jobs() == []


def test_one_key_makes_one_job_of_50_requests(catalog: Catalog) -> None:
    """However many replicas get the same request at once."""
    asked = NewJob("Churn", "fit", "k", idempotency_key="once", request_digest="one")

    def ask_ten_times(_: int) -> list[tuple[str, bool]]:
        answers = [catalog.add_job(asked, max_waiting=100) for _ in range(10)]
        return [(job.id, made) for job, made in answers]

    answers = list(chain.from_iterable(in_processes(5, ask_ten_times)))
    assert len({id for id, _ in answers}) == 1
    assert sum(made for _, made in answers) == 1
    assert len(catalog.jobs()) == 1


def test_every_job_has_a_number_of_its_own(catalog: Catalog) -> None:
    """Also if many are asked for at once."""
    numbers = list(
        chain.from_iterable(in_processes(4, lambda _: [ask(catalog).number for _ in range(10)]))
    )
    assert sorted(numbers) == list(range(1, 41))


# --- run ------------------------------------------------------------------------------------------


def test_jobs_run_in_order_and_one_for_each_model(catalog: Catalog) -> None:
    """The oldest first; a model's second waits for its first."""
    first, second, other = ask(catalog), ask(catalog), ask(catalog, "Iris")
    claimed = [catalog.claim(OWNER, concurrency=9) for _ in range(3)]
    assert [job and job.id for job in claimed] == [first.id, other.id, None]
    assert claimed[0]
    assert (claimed[0].state, claimed[0].owner, claimed[0].attempts) == ("running", OWNER, 1)
    assert claimed[0].started
    assert claimed[0].heartbeat
    catalog.fail(first.id, OWNER, CRASH)
    assert (job := catalog.claim(OWNER, concurrency=9))
    assert job.id == second.id


def test_a_host_runs_no_more_than_it_may(catalog: Catalog) -> None:
    """Another host may run as many besides; a name that begins like it is another host."""
    for model in ("A", "B", "C", "D"):
        ask(catalog, model)
    assert catalog.claim("one:1", concurrency=2)
    assert catalog.claim("one:2", concurrency=2)
    assert catalog.claim("one:3", concurrency=2) is None
    assert catalog.claim("one-more:1", concurrency=1)


def test_a_job_is_claimed_by_its_id(catalog: Catalog) -> None:
    """Once; but its owner gets it again, because the answer may have been lost."""
    ask(catalog, "Iris")
    job = ask(catalog)
    assert run(catalog, job) == run(catalog, job)
    assert catalog.claim("other:1", concurrency=9, id=job.id) is None
    assert catalog.claim(OWNER, concurrency=9, id="unknown") is None


def test_claimers_never_get_two_jobs_of_one_model(catalog: Catalog) -> None:
    """Eight of them at once, three jobs for each of four models."""
    for index in range(12):
        ask(catalog, f"Model{index % 4}")

    def claim(index: int) -> list[tuple[str, str]]:
        claims = (catalog.claim(f"host{index}:1", concurrency=9) for _ in range(4))
        return [(job.model, job.id) for job in claims if job]

    claimed = list(chain.from_iterable(in_processes(8, claim)))
    assert sorted(model for model, _ in claimed) == [f"Model{index}" for index in range(4)]


def test_a_heartbeat_tells_progress(catalog: Catalog) -> None:
    """What it does not tell stays as it was."""
    job = run(catalog, ask(catalog))
    assert catalog.heartbeat(job.id, OWNER, progress=0.5, rows=10, message="reading")
    assert catalog.heartbeat(job.id, OWNER, rows=20)
    now = catalog.job("Churn", job.id)
    assert (now.progress, now.rows, now.message) == (0.5, 20, "reading")
    assert now.heartbeat
    assert job.heartbeat
    assert now.heartbeat > job.heartbeat


def test_a_cancelled_job_learns_it(catalog: Catalog) -> None:
    """One that runs by its next heartbeat; one that waits is over at once; one that ended stays."""
    waiting, running = ask(catalog, "Iris"), run(catalog, ask(catalog))
    assert catalog.cancel("Iris", waiting.id).state == "cancelled"
    assert catalog.cancel("Churn", running.id).cancelling
    assert not catalog.heartbeat(running.id, OWNER)
    catalog.fail(running.id, OWNER, {}, "cancelled")
    assert catalog.cancel("Churn", running.id).state == "cancelled"
    assert catalog.claim(OWNER, concurrency=9) is None


def test_a_job_listens_to_its_owner_only(store: Store) -> None:
    """Whose job was given to another one changes nothing any more."""
    catalog, job = store.catalog, run(store.catalog, ask(store.catalog))
    made = artefact(store)
    assert not catalog.heartbeat(job.id, "other:1", progress=0.9)
    catalog.fail(job.id, "other:1", CRASH)
    for call in (
        lambda: catalog.finish(job.id, "other:1", made),
        lambda: catalog.checkpoint(job.id, "other:1", made.sha256, 5),
    ):
        with pytest.raises(VersionConflict, match="not run by this process"):
            call()
    assert catalog.job("Churn", job.id) == job


# --- ended ----------------------------------------------------------------------------------------


def test_a_finished_job_has_made_the_current_version(store: Store) -> None:
    """Version, pointer and job change together."""
    catalog, job = store.catalog, run(store.catalog, ask(store.catalog, params={"depth": 3}))
    made = replace(artefact(store), metrics={"auc": 0.9}, libraries={"numpy": "2"}, rows=7)
    version = catalog.finish(job.id, OWNER, made)
    assert (version.number, version.key, version.made, version.verdict) == (1, "k", made, "")
    assert (version.origin, version.job, version.params) == ("fit", job.id, {"depth": 3})
    assert catalog.model("Churn").current == 1
    assert catalog.version("Churn", "1") == version
    ended = catalog.job("Churn", job.id)
    assert (ended.state, ended.progress, ended.rows, ended.verdict) == ("done", 1.0, 7, "")
    assert ended.final
    assert ended.ended


def test_finishing_twice_is_finishing_once(store: Store) -> None:
    """The first answer may have been lost on the way."""
    job = run(store.catalog, ask(store.catalog))
    made = artefact(store)
    version = store.catalog.finish(job.id, OWNER, made)
    revision = store.catalog.revision()
    assert store.catalog.finish(job.id, OWNER, made) == version
    assert store.catalog.revision() == revision


def test_a_version_needs_its_blob(store: Store) -> None:
    """Without it nothing has changed, and the job can still fail."""
    job = run(store.catalog, ask(store.catalog))
    made = replace(artefact(store), sha256="0" * 64)
    with pytest.raises(ArtifactCorrupt):
        store.catalog.finish(job.id, OWNER, made)
    assert store.catalog.job("Churn", job.id) == job
    assert store.catalog.model("Churn").versions == ()


def test_an_older_fit_never_replaces_a_newer(store: Store) -> None:
    """It ends late, is kept, and says why it is not current; also after a rollback."""
    catalog = store.catalog
    fit(store)
    late = ask(catalog)
    catalog.claim(OWNER, concurrency=9, id=late.id)
    catalog.lose(0)  # so that the next one may run
    newer = fit(store)
    assert catalog.rollback("Churn").number == 1
    version = catalog.finish(late.id, OWNER, artefact(store))
    assert (late.number, newer.number) == (2, 3)
    assert version.verdict == "version 3, which is newer, was current before"
    assert catalog.job("Churn", late.id).verdict == version.verdict
    assert catalog.model("Churn").current == 1
    assert fit(store).number == catalog.model("Churn").current == 4


def test_a_version_may_wait_to_be_promoted(store: Store) -> None:
    """By a verdict, or by a model whose versions are promoted by hand."""
    catalog = store.catalog
    for verdict, told in (("auc fell", "auc fell"), ("", "it waits to be promoted")):
        job = run(catalog, ask(catalog))
        made = catalog.finish(job.id, OWNER, artefact(store), promote=False, verdict=verdict)
        assert made.verdict == told
    assert catalog.model("Churn").current is None
    assert catalog.promote("Churn", 2).number == catalog.model("Churn").current == 2


def test_a_failed_job_says_why(catalog: Catalog) -> None:
    """Its first end stands."""
    job = run(catalog, ask(catalog))
    catalog.fail(job.id, OWNER, CRASH)
    catalog.fail(job.id, OWNER, {"stage": "fit", "kind": "X", "message": "y"})
    ended = catalog.job("Churn", job.id)
    assert (ended.state, ended.error) == ("failed", CRASH)
    assert ended.ended


# --- lost -----------------------------------------------------------------------------------------


def test_a_silent_job_is_lost(store: Store) -> None:
    """And frees its model for the next one; one that was heard of is not."""
    catalog, job = store.catalog, run(store.catalog, ask(store.catalog))
    assert catalog.lose(60) == []
    assert catalog.lose(0, owner="other:1") == []
    [lost] = catalog.lose(0)
    assert (lost.id, lost.state) == (job.id, "lost")
    assert lost.error
    assert lost.error["stage"] == "crash"
    assert catalog.lose(0) == []
    assert fit(store).number == 2


def test_a_job_that_was_not_lost_after_all_finishes(store: Store) -> None:
    """The database was away for longer than a job may be silent, for example."""
    catalog, job = store.catalog, run(store.catalog, ask(store.catalog))
    catalog.lose(0)
    assert catalog.heartbeat(job.id, OWNER)
    assert catalog.finish(job.id, OWNER, artefact(store)).number == 1
    assert catalog.job("Churn", job.id).state == "done"


def test_a_lost_job_goes_on_from_its_checkpoint(store: Store) -> None:
    """At most three times in all; its old process has no say any more."""
    catalog, blob = store.catalog, store.blobs.put_bytes(b"half")
    job = ask(catalog)
    for attempt in (1, 2, 3):
        running = run(catalog, job, f"host:{attempt}")
        assert running.attempts == attempt
        catalog.checkpoint(job.id, f"host:{attempt}", blob, 100 * attempt)
        [after] = catalog.lose(0)
        assert (after.checkpoint, after.rows) == (blob, 100 * attempt)
        assert after.state == ("lost" if attempt == 3 else "queued")
        if attempt < 3:
            assert not catalog.heartbeat(job.id, f"host:{attempt}")


def test_a_lost_job_that_was_cancelled_is_cancelled(catalog: Catalog) -> None:
    """Nobody wants it back."""
    job = run(catalog, ask(catalog))
    catalog.cancel("Churn", job.id)
    assert [lost.state for lost in catalog.lose(0)] == ["cancelled"]


# --- logs -----------------------------------------------------------------------------------------


def test_a_log_is_read_on_from_where_it_was(catalog: Catalog) -> None:
    """Piece by piece, as it is written."""
    job = ask(catalog)
    assert catalog.read_log(job.id) == ("", 0)
    catalog.log(job.id, "one\n")
    catalog.log(job.id, "")
    text, offset = catalog.read_log(job.id)
    assert (text, offset) == ("one\n", 4)
    catalog.log(job.id, "two\n")
    assert catalog.read_log(job.id, offset) == ("two\n", 8)
    assert catalog.read_log(job.id, 2) == ("e\ntwo\n", 8)
    assert catalog.read_log(job.id, 99) == ("", 99)
    for call in (catalog.read_log, lambda id: catalog.log(id, "x")):
        with pytest.raises(UnknownJob):
            call("unknown")


def test_a_long_log_keeps_its_beginning_and_its_end(catalog: Catalog) -> None:
    """And says how much was dropped in between."""
    job = ask(catalog)
    written = "".join(f"line {number}\n" for number in range(300_000))
    for start in range(0, len(written), 700_000):
        catalog.log(job.id, written[start : start + 700_000])
    text, end = catalog.read_log(job.id)
    assert end == len(written)
    assert len(text) < LONGEST * 1.1
    head, _, tail = text.partition("\n[")
    dropped, _, tail = tail.partition(" characters were dropped]\n")
    assert written.startswith(head)
    assert written.endswith(tail)
    assert len(head) + int(dropped) + len(tail) == end


# --- odd values -----------------------------------------------------------------------------------


def test_any_value_can_be_stored(store: Store) -> None:
    """What one database or the other would refuse: NUL, lone surrogates, NaN, huge integers."""
    catalog = store.catalog
    job = run(catalog, ask(catalog, key="a\0b\udc80", params={"n": 2**80, "s": "\0\udc80"}))
    assert job.asked.key == "a\N{REPLACEMENT CHARACTER}b?"
    assert job.asked.params["n"] == 2**80
    catalog.log(job.id, "\0\udc80\n")
    assert catalog.read_log(job.id) == ("\N{REPLACEMENT CHARACTER}?\n", 3)
    made = replace(artefact(store), metrics={"auc": math.nan, "n": 2**80}, rows=2**40)
    assert catalog.finish(job.id, OWNER, made).made.rows == 2**40
    assert catalog.version("Churn", "a\0b\udc80").number == 1
