"""What the trainer decides: which job starts, and what becomes of one whose process is gone.

The processes are those of a launcher that only notes them; time is an argument.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelsync.errors import StoreUnavailable
from modelsync.settings.training import Training
from modelsync.store import Store
from modelsync.store.location import database_file
from modelsync.store.records import Job
from modelsync.training.launchers import NOT_RUN, Ended
from modelsync.training.loop import Loop
from modelsync.training.trainer import LOOK, MOST_STARTS, SETTLING, SILENCE, Trainer
from tests.training.storing import add, open_store, settings_of

MINE = "here/1:"


@dataclass
class Launched:
    """A launcher whose processes are what the test says they are."""

    store: Store
    started: list[str] = field(default_factory=list)
    alive: set[str] = field(default_factory=set)
    gone: list[Ended] = field(default_factory=list)

    def start(self, job: Job) -> None:
        self.started.append(job.id)
        self.alive.add(job.id)

    def running(self) -> set[str]:
        return set(self.alive)

    def ended(self) -> list[Ended]:
        gone, self.gone = self.gone, []
        return gone

    def owns(self, job: Job) -> bool:
        return job.owner.startswith(MINE)

    def kill(self, job: str) -> None:
        self.die(job, -9)

    def stop(self, grace: float) -> None:
        self.alive.clear()

    # what the processes do

    def claim(self, job: Job, owner: str = MINE) -> None:
        assert self.store.catalog.claim(f"{owner}{job.id}", concurrency=100, id=job.id)

    def die(self, job: str, code: int, *, starved: bool = False) -> None:
        self.alive.discard(job)
        self.gone.append(Ended(job, code, starved))


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    return open_store(tmp_path / "home")


@pytest.fixture
def launched(opened: Store) -> Launched:
    return Launched(opened)


def trainer_of(
    opened: Store, launched: Launched | None, home: Path, concurrency: int = 2
) -> Trainer:
    config = settings_of(home, training=dataclasses.replace(Training(), concurrency=concurrency))
    return Trainer(opened, config, launched, home=home)


@pytest.fixture
def trainer(opened: Store, launched: Launched, tmp_path: Path) -> Trainer:
    return trainer_of(opened, launched, tmp_path / "home")


def row(opened: Store, job: Job) -> Job:
    return opened.catalog.job(job.model, job.id)


def test_the_oldest_jobs_start_one_of_each_model(
    opened: Store, launched: Launched, trainer: Trainer
) -> None:
    """As many at a time as the settings say."""
    first, second, other, last = (add(opened, name) for name in ("A", "A", "B", "C"))
    trainer.step(0)
    assert launched.started == [first.id, other.id]
    for job in (first, other):
        launched.claim(job)
    trainer.step(LOOK)
    assert len(launched.started) == 2
    opened.catalog.fail(first.id, MINE + first.id, {}, "failed")
    launched.die(first.id, 0)
    trainer.step(LOOK + 0.1)  # at once: not at the next look
    assert launched.started == [first.id, other.id, second.id]
    opened.catalog.fail(other.id, MINE + other.id, {}, "failed")
    launched.die(other.id, 0)
    trainer.step(LOOK + 0.2)
    assert launched.started[3:] == [last.id]


def test_a_process_whose_job_has_ended_takes_no_place(
    opened: Store, launched: Launched, tmp_path: Path
) -> None:
    """It calls a webhook, which may be slow; the others do not wait for that."""
    trainer = trainer_of(opened, launched, tmp_path / "home", concurrency=1)
    first, second = add(opened, "A"), add(opened, "B")
    trainer.step(0)
    launched.claim(first)
    opened.catalog.fail(first.id, MINE + first.id, {}, "failed")
    trainer.step(LOOK)
    assert launched.started == [first.id, second.id]


def test_a_job_of_a_model_that_runs_elsewhere_waits(
    opened: Store, launched: Launched, trainer: Trainer
) -> None:
    """Another replica runs one of this model."""
    first, second = add(opened, "A"), add(opened, "A")
    launched.claim(first, "elsewhere:")
    trainer.step(0)
    assert not launched.started
    opened.catalog.fail(first.id, f"elsewhere:{first.id}", {}, "failed")
    trainer.step(LOOK)
    assert launched.started == [second.id]


@pytest.mark.parametrize(
    ("code", "starved", "stage", "kind"),
    [(-9, False, "crash", "SIGKILL"), (-9, True, "memory", ""), (1, False, "crash", "")],
)
def test_a_job_whose_process_dies_is_lost_at_once(
    opened: Store,
    launched: Launched,
    trainer: Trainer,
    code: int,
    starved: bool,
    stage: str,
    kind: str,
) -> None:
    """With the signal, or that memory ran out, as its error."""
    job = add(opened)
    trainer.step(0)
    launched.claim(job)
    launched.die(job.id, code, starved=starved)
    trainer.step(0.1)
    found = row(opened, job)
    assert found.state == "lost"
    assert found.error
    assert (found.error["stage"], found.error["kind"]) == (stage, kind)
    assert found.ended


def test_a_job_that_ended_before_its_process_keeps_its_state(
    opened: Store,
    launched: Launched,
    trainer: Trainer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was killed just after it had told how it ended."""
    job = add(opened)
    trainer.step(0)
    launched.claim(job)
    opened.catalog.fail(job.id, MINE + job.id, {"message": "no data"}, "failed")
    launched.die(job.id, -9)
    with caplog.at_level(logging.ERROR):
        trainer.step(0.1)
    assert row(opened, job).state == "failed"
    assert not caplog.records


def test_one_with_a_checkpoint_goes_on_three_times_at_most(
    opened: Store, launched: Launched, trainer: Trainer
) -> None:
    """The attempts are counted in its row, so a restart does not forget them."""
    job = add(opened)
    checkpoint = opened.blobs.put_bytes(b"half of it")
    now = 0.0
    for attempt in (1, 2, 3):
        trainer.step(now)
        assert len(launched.started) == attempt
        launched.claim(job)
        opened.catalog.checkpoint(job.id, MINE + job.id, checkpoint, 100)
        launched.die(job.id, -9)
        trainer.step(now + 0.1)
        now += 100
    assert row(opened, job).state == "lost"
    trainer.step(now)
    assert len(launched.started) == 3


def test_the_jobs_of_a_trainer_that_was_killed_are_lost(
    opened: Store, launched: Launched, trainer: Trainer
) -> None:
    """The next one finds them: running, of this host, without a process. Not those of others."""
    mine, other = add(opened, "A"), add(opened, "B")
    launched.claim(mine)
    launched.claim(other, "elsewhere:")
    trainer.step(0)
    assert row(opened, mine).state == "lost"
    assert row(opened, other).state == "running"


def test_a_cancelled_job_that_is_killed_is_cancelled(
    opened: Store, launched: Launched, trainer: Trainer
) -> None:
    """A client has asked for its end, and that it has got."""
    job = add(opened)
    trainer.step(0)
    launched.claim(job)
    opened.catalog.cancel(job.model, job.id)
    launched.die(job.id, -9)
    trainer.step(0.1)
    assert row(opened, job).state == "cancelled"


def test_a_process_that_does_not_start_fails_its_job(
    opened: Store, launched: Launched, trainer: Trainer
) -> None:
    """After some tries, with a pause between them."""
    job, now = add(opened), 0.0
    for attempt in range(1, MOST_STARTS + 1):
        trainer.step(now)
        assert len(launched.started) == attempt
        launched.die(job.id, 2)
        trainer.step(now + 0.1)
        assert len(launched.started) == attempt
        now += 100
    found = row(opened, job)
    assert found.state == "failed"
    assert found.error
    assert "exit code 2" in found.error["message"]


def test_a_process_that_may_not_run_its_job_is_no_failure(
    opened: Store, launched: Launched, trainer: Trainer
) -> None:
    """Another replica was faster, or the store away: it is tried again, however often."""
    job, now = add(opened), 0.0
    for _ in range(3 * MOST_STARTS):
        trainer.step(now)
        launched.die(job.id, NOT_RUN)
        trainer.step(now + 0.1)
        now += 100
    assert row(opened, job).state == "queued"
    assert len(launched.started) == 3 * MOST_STARTS


def test_silent_jobs_of_other_hosts_are_lost(
    opened: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a trainer that starts none itself."""
    job = add(opened)
    assert opened.catalog.claim("elsewhere:1", concurrency=1, id=job.id)
    silent = trainer_of(opened, None, tmp_path / "home")
    silent.step(0)
    assert row(opened, job).state == "running"
    monkeypatch.setattr("modelsync.training.trainer.SILENCE", 0.0)
    silent.step(SILENCE)
    assert row(opened, job).state == "lost"


def test_no_job_is_lost_because_the_store_was_away(
    opened: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could report: each gets the time to do so first."""
    job = add(opened)
    assert opened.catalog.claim("elsewhere:1", concurrency=1, id=job.id)
    silent = trainer_of(opened, None, tmp_path / "home")
    monkeypatch.setattr("modelsync.training.trainer.SILENCE", 0.0)
    real = opened.catalog.jobs

    def away(*_: object, **__: object) -> list[Job]:
        raise StoreUnavailable("it does not answer")

    monkeypatch.setattr(opened.catalog, "jobs", away)
    with pytest.raises(StoreUnavailable):
        silent.step(0)
    monkeypatch.setattr(opened.catalog, "jobs", real)
    silent.step(SETTLING - 1)
    assert row(opened, job).state == "running"
    silent.step(SETTLING + 1)
    assert row(opened, job).state == "lost"


def test_an_outage_is_one_line_of_the_log(
    opened: Store, launched: Launched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """And one when the store is back; meanwhile the pauses grow."""
    home = tmp_path / "home"
    opened.catalog.revision()
    loop = Loop("the trainer", trainer_of(opened, launched, home).step, 0.1)
    assert loop.turn(0.0) == 0.1
    database = database_file(home)
    opened.catalog.database.close()
    saved = {file: file.read_bytes() for file in home.glob(f"{database.name}*")}
    for file in saved:
        file.unlink()
    database.mkdir()
    with caplog.at_level(logging.INFO):
        pauses = [loop.turn(10.0 + turn) for turn in range(6)]
        assert pauses[-1] > 2 * pauses[0] > 0.1
        database.rmdir()
        for file, content in saved.items():
            file.write_bytes(content)
        assert loop.turn(100.0) == 0.1
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO"]


def test_an_unexpected_error_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next step comes a little later."""
    steps: list[float] = []

    def step(now: float) -> None:
        steps.append(now)
        if len(steps) == 1:
            raise KeyError("none expects this")

    loop = Loop("a loop", step, 0.1)
    assert loop.turn(0.0) > 0.1
    assert loop.turn(1.0) == 0.1
    assert "unexpected" in caplog.text
