"""Jobs of a cluster: what is made for a row, how their ends are noticed, what is left behind."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync import settings
from modelsync.errors import SettingsError, StoreUnavailable
from modelsync.settings import Settings
from modelsync.store import Store
from modelsync.store.records import Job
from modelsync.training import cluster_jobs
from modelsync.training.cluster_jobs import ClusterJobs
from modelsync.training.dispatcher import CLEARING, GRACE, Leftovers
from modelsync.training.launchers import NOT_RUN, Ended
from modelsync.training.trainer import LOOK, Trainer
from tests.fixtures.kubernetes_jobs import TEMPLATE, JobsApi
from tests.training.storing import add, open_store

WHERE = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
"""What the client has read from KUBECONFIG when it was imported."""

COMMIT = "c0ffee" * 6 + "c0ff"
DATABASE = "postgresql://models@postgres/models"
STARTUP_PAUSE = 100.0
"""Seconds after which the trainer starts a job again whose process has not claimed it."""


def config_of(**more: str) -> Settings:
    given = {
        "gitPath": "https://git.example.com/models.git",
        "MODELSYNC_JOBS": "kubernetes",
        "MODELSYNC_JOB_TEMPLATE": TEMPLATE,
        "MODELSYNC_DATABASE_URL": DATABASE,
    }
    return settings.load({**given, **more})


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobsApi]:
    with JobsApi(tmp_path) as made:
        monkeypatch.setattr(WHERE, str(made.kubeconfig))
        monkeypatch.setattr(cluster_jobs, "LOOK", 0.0)  # each look is a new one
        yield made


@pytest.fixture
def launcher(api: JobsApi) -> ClusterJobs:
    return ClusterJobs(config_of())


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    """What the rows are in does not matter to the launcher."""
    return open_store(tmp_path / "home")


def job_of(opened: Store, model: str = "Churn") -> Job:
    return add(opened, model, commit=COMMIT)


# --- what is made ---------------------------------------------------------------------------------


def test_a_job_is_made_from_the_template(
    api: JobsApi, launcher: ClusterJobs, opened: Store
) -> None:
    """Its pod is that of the chart, pinned to the commit of the row, and runs that row."""
    job = job_of(opened)
    launcher.start(job)
    made = api.made(job.id)
    assert (made["kind"], made["spec"]["backoffLimit"]) == ("Job", 0)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["job", "run", job.id]
    assert container["env"] == [
        {"name": "MODELSYNC_HOME", "value": "/var/lib/modelsync"},
        {"name": "MODELSYNC_GIT_REVISION", "value": COMMIT},
        {"name": "MODELSYNC_GIT_PROVEN", "value": COMMIT},
    ]
    name = made["metadata"]["name"]
    assert name.startswith(f"{TEMPLATE}-")
    assert len(f"{name}-abcde") <= 63  # also for the longest name of a release, which has 44
    assert made["metadata"]["labels"]["app.kubernetes.io/component"] == "job"
    assert made["metadata"]["annotations"]["modelsync.dev/model"] == job.model
    (owner,) = made["metadata"]["ownerReferences"]  # uninstalling the chart removes it
    assert (owner["kind"], owner["name"], owner["uid"]) == ("CronJob", TEMPLATE, "u-1")
    assert "controller" not in owner


def test_of_the_image_each_pod_has_its_own_models(api: JobsApi, opened: Store) -> None:
    """Without a repository there is no commit to pin."""
    launcher = ClusterJobs(config_of(gitPath=""))
    job = job_of(opened)
    launcher.start(job)
    (container,) = api.made(job.id)["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in container["env"]] == ["MODELSYNC_HOME"]


def test_two_dispatchers_make_one_job(api: JobsApi, launcher: ClusterJobs, opened: Store) -> None:
    """Its name follows from the row, so the second one finds it made."""
    job = job_of(opened)
    launcher.start(job)
    again = ClusterJobs(config_of())
    again.start(job)
    assert len(api.jobs) == 1
    assert again.running() == launcher.running() == {job.id}


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("MODELSYNC_JOB_TEMPLATE", "", "MODELSYNC_JOB_TEMPLATE is not set"),
        ("MODELSYNC_DATABASE_URL", "", "cannot reach a SQLite file in another pod"),
        ("MODELSYNC_DATABASE_URL", "sqlite:////srv/a.db", "cannot reach a SQLite file"),
    ],
)
def test_what_cannot_work_is_refused(setting: str, value: str, words: str) -> None:
    """Before any job is taken."""
    with pytest.raises(SettingsError, match=words):
        ClusterJobs(config_of(**{setting: value}))


def test_without_a_cluster_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a laptop that has the setting of a cluster."""
    monkeypatch.setattr(WHERE, str(tmp_path / "none"))
    with pytest.raises(SettingsError, match="no cluster"):
        ClusterJobs(config_of())


# --- how they end ---------------------------------------------------------------------------------


def test_ends_are_told_once(
    api: JobsApi, launcher: ClusterJobs, opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the exit code of the container, and whether it took too much memory."""
    jobs = [job_of(opened, name) for name in ("A", "B", "C", "D")]
    for job in jobs:
        launcher.start(job)
    done, starved, removed, runs = (job.id for job in jobs)
    assert launcher.ended() == []
    assert launcher.waiting() == {job.id for job in jobs}
    api.run(runs)
    api.end(done, 0, "Completed")
    api.end(starved, 137, "OOMKilled")
    api.remove(removed)
    found = {one.job: one for one in launcher.ended()}
    assert found == {done: Ended(done, 0), starved: Ended(starved, 137, starved=True)}
    # The process of a pod that is gone may still live, for a while.
    assert launcher.ended() == []
    assert launcher.running() == {runs, removed}
    monkeypatch.setattr(cluster_jobs, "ENDING", 0.0)
    assert launcher.ended() == [Ended(removed)]
    assert launcher.ended() == []
    assert (launcher.running(), launcher.waiting()) == ({runs}, set())


def test_the_end_of_a_sidecar_is_not_that_of_its_job(
    api: JobsApi, launcher: ClusterJobs, opened: Store
) -> None:
    """It is ended with the job. What has failed before the job could begin is the job's end."""
    fine, failed = job_of(opened, "A"), job_of(opened, "B")
    for job in (fine, failed):
        launcher.start(job)
    api.end(fine.id, 0, "Completed", sidecar=(137, "OOMKilled"))
    api.cannot_begin(failed.id, 3)
    assert {one.job: one for one in launcher.ended()} == {
        fine.id: Ended(fine.id, 0),
        failed.id: Ended(failed.id, 3),
    }


def test_a_job_that_is_queued_again_gets_a_new_pod(
    api: JobsApi, launcher: ClusterJobs, opened: Store
) -> None:
    """The Job that has ended is replaced, and its end is no end of the new one."""
    job = job_of(opened)
    launcher.start(job)
    first = api.made(job.id)["metadata"]["uid"]
    launcher.ended()
    api.end(job.id, NOT_RUN)
    assert launcher.ended() == [Ended(job.id, NOT_RUN)]
    launcher.start(job)
    assert api.made(job.id)["metadata"]["uid"] != first
    assert launcher.ended() == []
    assert launcher.running() == {job.id}


def test_a_pod_that_is_killed_loses_its_job(
    api: JobsApi, launcher: ClusterJobs, opened: Store
) -> None:
    """Its row says so at the next look, not after a silence; one that runs elsewhere is left."""
    trainer = Trainer(opened, config_of(), launcher)
    mine, other = job_of(opened, "A"), job_of(opened, "B")
    trainer.step(0)
    pod = api.made(mine.id)["metadata"]["name"] + "-abcde"
    assert opened.catalog.claim(f"{pod}:digest:1-x", concurrency=1, id=mine.id)
    assert opened.catalog.claim("laptop:digest:1-x", concurrency=1, id=other.id)
    api.run(mine.id)
    trainer.step(LOOK)
    assert opened.catalog.job(None, mine.id).state == "running"
    api.end(mine.id, 137, "OOMKilled")
    trainer.step(2 * LOOK)
    found = opened.catalog.job(None, mine.id)
    assert found.state == "lost"
    assert found.error
    assert found.error["stage"] == "memory"
    assert opened.catalog.job(None, other.id).state == "running"


def test_a_pod_that_cannot_start_fails_its_job(
    api: JobsApi, launcher: ClusterJobs, opened: Store
) -> None:
    """After some tries; the error has the exit code."""
    trainer = Trainer(opened, config_of(), launcher)
    job, now = job_of(opened), 0.0
    while opened.catalog.job(None, job.id).state == "queued":
        trainer.step(now)
        api.end(job.id, 2)
        trainer.step(now + LOOK)
        now += STARTUP_PAUSE
        assert now < 10 * STARTUP_PAUSE
    found = opened.catalog.job(None, job.id)
    assert found.state == "failed"
    assert found.error
    assert "exit code 2" in found.error["message"]


def test_a_pod_without_a_node_is_told(
    api: JobsApi,
    launcher: ClusterJobs,
    opened: Store,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once, with what the scheduler says."""
    monkeypatch.setattr(cluster_jobs, "PENDING", 0.0)
    job = job_of(opened)
    launcher.start(job)
    api.unschedulable(job.id, "0/2 nodes are available: 2 Insufficient memory.")
    with caplog.at_level(logging.WARNING):
        launcher.running()
        launcher.running()
    assert [record.message for record in caplog.records] == [
        f"the pod of job {job.id} does not run yet: "
        "not scheduled: 0/2 nodes are available: 2 Insufficient memory."
    ]


# --- what goes wrong ------------------------------------------------------------------------------


def test_an_api_server_that_is_away_loses_nothing(
    api: JobsApi, launcher: ClusterJobs, opened: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as an outage of the store: the dispatcher waits, and rows stay what they are."""
    monkeypatch.setattr("modelsync.cluster.jobs.TIMEOUT", 0.3)
    trainer = Trainer(opened, config_of(), launcher)
    job = job_of(opened)
    trainer.step(0)
    with api.away(), pytest.raises(StoreUnavailable, match="API server cannot be reached"):
        trainer.step(LOOK)
    assert opened.catalog.job(None, job.id).state == "queued"
    trainer.step(2 * LOOK)
    assert launcher.running() == {job.id}


def test_a_job_that_was_cancelled_before_its_pod_ran_is_removed(
    api: JobsApi, launcher: ClusterJobs, opened: Store
) -> None:
    """Also one whose pod runs although its row has ended, after some time."""
    waits, runs = job_of(opened, "A"), job_of(opened, "B")
    for job in (waits, runs):
        launcher.start(job)
        opened.catalog.cancel(job.model, job.id)
    api.run(runs.id)
    leftovers = Leftovers(opened.catalog, launcher)
    leftovers.step(0)
    assert launcher.running() == {runs.id}
    leftovers.step(CLEARING)
    assert launcher.running() == {runs.id}
    leftovers.step(GRACE + CLEARING)
    assert launcher.running() == set()
    launcher.kill(runs.id)  # gone already


def test_stopping_the_dispatcher_ends_no_job(
    api: JobsApi, launcher: ClusterJobs, opened: Store
) -> None:
    """The next one goes on where it was."""
    job = job_of(opened)
    launcher.start(job)
    launcher.stop(0.0)
    assert ClusterJobs(config_of()).running() == {job.id}
