"""Models fitted in a cluster: in Jobs, stored in PostgreSQL and on S3, served everywhere."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.cluster.cluster import Cluster, Namespace, Object
from tests.cluster.shop import NAME, Job, Shop, asked, figure, shop
from tests.fixtures import postgres, s3
from tests.fixtures.git import GitServer
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.waiting import until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("training"),  # its tests share one installation
]

MEAN = """
import socket

class Mean:
    def fit(self, x, y=None, **params):
        print("fitted in", socket.gethostname())
        return {"mean": sum(y) / len(y)}

    def transform_predict(self):
        return self.model
"""

PRICED = """
class Priced:
    source = "prices.csv"
    target = "price"

    def fit(self, x, y):
        return {"mean": float(y.median().round(-1))}  # the same whatever is held out

    def transform_predict(self):
        return self.model
"""

PRICES = "rooms,price\n" + "1,9\n2,11\n" * 20

WAITS = """
import time

class Waits:
    def train(self):
        print("waiting", flush=True)
        time.sleep(600)

    def transform_predict(self):
        return self.model
"""

SERVES = 2.0
"""Seconds within which every pod answers with a version that has become current."""


@dataclass
class School:
    """The shop with a store, and the calls of a client that trains."""

    shop: Shop
    database: PostgresServer
    token: str
    _values: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        """One request through nginx, with the admin's token."""
        return requests.request(
            method,
            f"{self.shop.cluster.ingress}/models/{path}",
            json=body,
            headers={
                "Host": self.shop.host,
                "Authorization": f"Bearer {self.token}",
                **headers,
            },
            timeout=60,
        )

    def fit(self) -> tuple[float, int]:
        """Fit `Mean`: the value that it answers with then, another each time, and its version."""
        value = float(next(self._values))
        body = {"x": [[1], [2]], "y": [value, value]}
        accepted = self.call("PUT", "Mean", body)
        assert accepted.status_code == 202, accepted.text
        job = self.job(accepted)
        try:
            found: Object = until(lambda: _done(job()), 180)
        except AssertionError as error:
            raise AssertionError(f"{job()}\n{self.shop.namespace.picture()}") from error
        assert found["metadata"]["state"] == "done", found
        return value, int(accepted.json()["version"])

    def job(self, accepted: requests.Response) -> Callable[[], Object]:
        """How the job of a 202 is asked for."""
        path = urlsplit(accepted.headers["Location"]).path.removeprefix("/models/")

        def ask() -> Object:
            answer = self.call("GET", path)
            assert answer.ok, answer.text
            found: Object = answer.json()
            return found

        return ask

    def pod_of(self, job: Callable[[], Object], but: str = "") -> str:
        """The pod in which a job runs, when it does."""
        until(lambda: job()["metadata"]["state"] == "running", 90)
        id = job()["name"].rpartition("/")[2]
        (made,) = (
            one["metadata"]["name"]
            for one in self.jobs()
            if one["metadata"]["annotations"]["modelsync.dev/job"] == id
        )
        found = self.shop.namespace.get(
            "pods",
            f"--selector=batch.kubernetes.io/job-name={made}",
            "--field-selector=status.phase=Running",
        )
        (pod,) = (
            str(one["metadata"]["name"])
            for one in found
            if one["metadata"]["name"] != but and "deletionTimestamp" not in one["metadata"]
        )
        return pod

    def train(self, name: str, model: str) -> Job:
        """Start a job of the CronJob of trainings for one model, and wait for its end."""
        namespace = self.shop.namespace
        made = json.loads(
            namespace.kubectl(
                "create", "job", f"--from=cronjob/{NAME}-train", name, "--dry-run=client", "-ojson"
            )
        )
        made["spec"]["template"]["spec"]["containers"][0]["args"].append(model)
        namespace.apply(made)
        return self.shop.end(name)

    def answers(self, path: str = "Mean") -> dict[str, Any]:
        """What each pod answers, each asked by itself."""
        found = {}
        for pod in self.shop.pods():
            url = f"http://{pod['status']['podIP']}:8080/models/{path}"
            answer = requests.post(url, json={"variables": {}}, timeout=10)
            found[pod["metadata"]["name"]] = answer.json()
        return found

    def everywhere(self, value: float, path: str = "Mean", since: float | None = None) -> float:
        """Wait until both pods answer with this; the seconds that took since `since`."""
        since = time.monotonic() if since is None else since

        def so() -> bool:
            found = self.answers(path)
            assert list(found.values()) == [{"mean": value}] * 2, found
            return True

        until(so, 30)
        return time.monotonic() - since

    def jobs(self) -> list[Object]:
        """The Jobs that were made for fits."""
        return self.shop.namespace.get("jobs", f"--selector=modelsync.dev/template={NAME}-job")


def _done(job: Object) -> Object | None:
    return job if job["done"] else None


@pytest.fixture(scope="module")
def school(
    cluster: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[School]:
    """Two pods that follow a repository, PostgreSQL and an S3 server on this machine."""
    if not postgres.programs() or not s3.program():
        pytest.skip("PostgreSQL or the S3 server is not here (`make s3-server`)")
    folder = tmp_path_factory.mktemp("training")
    with (
        GitServer(folder / "repository.git", host=cluster.host) as git,
        PostgresServer(cluster.host) as database,
        S3Server(folder / "s3", cluster.host) as bucket,
        Namespace(cluster, f"training-{time.monotonic_ns() % 10**6}") as namespace,
    ):
        git.push(
            {
                "Mean/etls.py": MEAN,
                "Waits/etls.py": WAITS,
                "Priced/etls.py": PRICED,
                "Priced/prices.csv": PRICES,
            }
        )
        small = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
        values = {
            "resources": small,
            "lifecycle": {"progressDeadlineSeconds": 240},
            "training": {
                "enabled": True,
                "job": {"resources": small},
                "schedule": "0 2 31 12 *",  # the test starts it
                "cronJob": {"resources": small},
            },
            "database": {"url": database.make_database()},
            "artifacts": {
                "url": f"s3://{bucket.make_bucket()}/models",
                "endpoint": bucket.endpoint,
                "accessKey": ACCESS_KEY,
                "secretKey": SECRET_KEY,
            },
        }
        with shop(cluster, namespace, image, git, folder, **values) as made:
            (secret,) = namespace.get("secret", f"{NAME}-auth")
            token = base64.b64decode(secret["data"]["admin-tokens"]).decode()
            yield School(made, database, token)


def test_a_fit_is_a_job_and_every_pod_serves_its_version(school: School) -> None:
    """PUT, a pod of the same image, and a version that both pods answer with at once."""
    began = time.monotonic()
    value, _ = school.fit()
    seconds = time.monotonic() - began
    later = school.everywhere(value)
    assert later < SERVES
    made = max(school.jobs(), key=lambda one: str(one["metadata"]["creationTimestamp"]))
    template = made["spec"]["template"]["spec"]["containers"][0]
    assert template["image"] == school.shop.image
    variables = {one["name"]: one.get("value") for one in template["env"]}
    assert variables["MODELSYNC_GIT_REVISION"] == school.shop.pin
    log = school.call(
        "GET", f"Mean/jobs/{made['metadata']['annotations']['modelsync.dev/job']}/log"
    )
    assert f"fitted in {made['metadata']['name']}" in log.text
    figure(f"a fit in a Job: {seconds:.0f} s; both pods served it {later:.1f} s after it was done")


def test_promoted_and_rolled_back_everywhere(school: School) -> None:
    """Every pod follows the pointer, whichever pod was asked to move it, without a restart."""
    pods = school.shop.names()
    before, version = school.fit()
    newer, _ = school.fit()
    school.everywhere(newer)
    moved = time.monotonic()
    assert school.call("POST", f"Mean/versions/{version}/promote").ok
    promoted = school.everywhere(before, since=moved)
    moved = time.monotonic()
    assert school.call("POST", "Mean/rollback").ok
    rolled_back = school.everywhere(newer, since=moved)
    assert max(promoted, rolled_back) < SERVES
    assert school.shop.names() == pods
    figure(f"promoted in both pods after {promoted:.1f} s, rolled back after {rolled_back:.1f} s")


def test_git_tags_are_labels(school: School) -> None:
    """The rollout's run gives the label of a tag to the version of that commit, for all pods."""
    value, version = school.fit()
    school.shop.git.tag("Mean#stable", school.shop.pin)
    assert school.shop.roll_out().code == 0
    assert school.call("GET", "Mean/labels").json()["labels"] == {"stable": version}
    school.everywhere(value, "Mean/versions/stable")


def test_an_upgrade_keeps_the_versions(school: School) -> None:
    """New pods, with another setting, answer with what was fitted before."""
    value, _ = school.fit()
    before = school.shop.names()
    school.shop.upgrade(settings={"MODELSYNC_THREADS": 7})
    school.shop.namespace.ready(NAME)
    until(lambda: not school.shop.names() & before, 60)
    school.everywhere(value)


def test_predictions_go_on_without_the_database(school: School) -> None:
    """While it is stopped every pod answers, and a fit is refused; then it is taken again."""
    value, _ = school.fit()
    school.everywhere(value)
    with asked(school.shop.cluster, school.shop.host, "/models/Mean") as (answered, wrong):
        school.database.stop()
        refused = school.call("PUT", "Mean", {"x": [[1]], "y": [9.0]})
        assert refused.status_code == 503, refused.text
        assert refused.headers["Retry-After"]
        school.everywhere(value)
        school.database.start()
        until(lambda: school.call("GET", "Mean/versions").ok, 30)
        newer, _ = school.fit()
        school.everywhere(newer)
    assert wrong == []
    assert answered


def test_a_process_that_is_killed_in_a_fit_loses_its_job(school: School) -> None:
    """As by the kernel. Its row says so with the reason; the next fit is taken."""
    job = school.job(school.call("PUT", "Waits"))
    pod = school.pod_of(job)
    killed = time.monotonic()
    school.shop.namespace.kubectl(
        "exec", pod, "--", "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)"
    )
    found = until(lambda: _done(job()), 60)
    assert found["metadata"]["state"] == "lost", found
    assert found["error"], found
    figure(f"killed in a fit: lost {time.monotonic() - killed:.1f} s later, {found['error']}")
    value, _ = school.fit()
    school.everywhere(value)


def test_a_pod_that_is_evicted_goes_on_elsewhere_until_it_is_cancelled(school: School) -> None:
    """A drain moves a fit to another pod; cancelled, nothing of it runs on."""
    accepted = school.call("PUT", "Waits")
    job = school.job(accepted)
    first = school.pod_of(job)
    moved = time.monotonic()
    school.shop.namespace.kubectl("delete", "pod", first)
    second = until(lambda: school.pod_of(job, but=first), 120)
    figure(f"evicted in a fit: {second} goes on {time.monotonic() - moved:.1f} s later")
    path = urlsplit(accepted.headers["Location"]).path.removeprefix("/models/")
    assert school.call("DELETE", path).ok
    found = until(lambda: _done(job()), 60)
    assert found["metadata"]["state"] == "cancelled", found
    until(lambda: all(not one["status"].get("active") for one in school.jobs()), 60)


def test_the_cronjob_trains_what_is_due(school: School) -> None:
    """It runs the commit that the pods serve, has the fit done in a Job, and both pods serve the
    version; the same data train nothing again.
    """
    namespace = school.shop.namespace
    (cronjob,) = namespace.get("cronjob", f"{NAME}-train")
    assert cronjob["spec"]["concurrencyPolicy"] == "Forbid"
    fitted_before = {job["metadata"]["name"] for job in school.jobs()}
    for name, outcome in (("first", "promoted"), ("second", "unchanged")):
        # Waits is trained by itself too, and would take ten minutes.
        job = school.train(f"train-{name}-{time.monotonic_ns()}", "Priced")
        assert job.code == 0, f"{job.log}\n{namespace.picture()}"
        (run, *_) = school.call("GET", "Priced/runs").json()["runs"]
        assert (run["outcome"], run["trigger"]) == (outcome, "schedule"), run
        figure(f"a training of a day in the cluster: {job.seconds:.0f} s, {outcome}")
    # Kubernetes removes ended ones meanwhile.
    assert len({job["metadata"]["name"] for job in school.jobs()} - fitted_before) == 1
    school.everywhere(10.0, "Priced")
    status = school.call("GET", "Priced").json()
    assert status["current"]["commit"] == school.shop.pin
    assert status["training"]["last"]["outcome"] == "unchanged"
