"""Models fitted in a cluster: in Jobs, stored in PostgreSQL and on S3, served everywhere."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.cluster.cluster import Cluster, Namespace, Object
from tests.cluster.shop import NAME, Shop, asked, figure, shop
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

    def fit(self, value: float) -> Object:
        """Fit `Mean` so that it answers with `value`; the answer of the PUT, whose job is done."""
        body = {"x": [[1], [2]], "y": [value, value]}
        accepted = self.call("PUT", "Mean", body)
        assert accepted.status_code == 202, accepted.text
        job = self.job(accepted)
        try:
            found: Object = until(lambda: _done(job()), 180)
        except AssertionError as error:
            raise AssertionError(f"{job()}\n{self.shop.namespace.picture()}") from error
        assert found["metadata"]["state"] == "done", found
        return dict(accepted.json())

    def job(self, accepted: requests.Response) -> Callable[[], Object]:
        """How the job of a 202 is asked for."""
        path = urlsplit(accepted.headers["Location"]).path.removeprefix("/models/")

        def ask() -> Object:
            answer = self.call("GET", path)
            assert answer.ok, answer.text
            found: Object = answer.json()
            return found

        return ask

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
        git.push({"Mean/etls.py": MEAN, "Waits/etls.py": WAITS})
        small = {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
        values = {
            "resources": small,
            "training": {"enabled": True, "job": {"resources": small}},
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
    accepted = school.fit(2.0)
    seconds = time.monotonic() - began
    later = school.everywhere(2.0)
    assert later < SERVES
    made = max(school.jobs(), key=lambda one: str(one["metadata"]["creationTimestamp"]))
    template = made["spec"]["template"]["spec"]["containers"][0]
    assert template["image"] == school.shop.image
    variables = {one["name"]: one.get("value") for one in template["env"]}
    assert variables["MODELSYNC_GIT_REVISION"] == school.shop.pin
    log = school.call(
        "GET", f"Mean/jobs/{made['metadata']['annotations']['modelsync.dev/job']}/log"
    )
    assert accepted["version"] >= 1
    assert f"fitted in {made['metadata']['name']}" in log.text
    figure(f"a fit in a Job: {seconds:.0f} s; both pods served it {later:.1f} s after it was done")


def test_promoted_and_rolled_back_everywhere(school: School) -> None:
    """Every pod follows the pointer, whichever pod was asked to move it, without a restart."""
    pods = school.shop.names()
    older = school.fit(2.5)["version"]
    school.fit(3.0)
    school.everywhere(3.0)
    moved = time.monotonic()
    assert school.call("POST", f"Mean/versions/{older}/promote").ok
    promoted = school.everywhere(2.5, since=moved)
    moved = time.monotonic()
    assert school.call("POST", "Mean/rollback").ok
    rolled_back = school.everywhere(3.0, since=moved)
    assert max(promoted, rolled_back) < SERVES
    assert school.shop.names() == pods
    figure(f"promoted in both pods after {promoted:.1f} s, rolled back after {rolled_back:.1f} s")


def test_git_tags_are_labels(school: School) -> None:
    """The rollout's run gives the label of a tag to the version of that commit, for all pods."""
    version = school.fit(3.5)["version"]
    school.shop.git.tag("Mean#stable", school.shop.pin)
    assert school.shop.roll_out().code == 0
    assert school.call("GET", "Mean/labels").json()["labels"] == {"stable": version}
    school.everywhere(3.5, "Mean/versions/stable")


def test_an_upgrade_keeps_the_versions(school: School) -> None:
    """New pods, with another setting, answer with what was fitted before."""
    school.fit(3.0)
    before = school.shop.names()
    school.shop.upgrade(settings={"MODELSYNC_THREADS": 7})
    school.shop.namespace.ready(NAME)
    until(lambda: not school.shop.names() & before, 60)
    school.everywhere(3.0)


def test_predictions_go_on_without_the_database(school: School) -> None:
    """While it is stopped every pod answers, and a fit is refused; then it is taken again."""
    school.fit(3.0)
    school.everywhere(3.0)
    with asked(school.shop.cluster, school.shop.host, "/models/Mean") as (answered, wrong):
        school.database.stop()
        refused = school.call("PUT", "Mean", {"x": [[1]], "y": [9.0]})
        assert refused.status_code == 503, refused.text
        assert refused.headers["Retry-After"]
        school.everywhere(3.0)
        school.database.start()
        until(lambda: school.call("GET", "Mean/versions").ok, 30)
        school.fit(4.0)
        school.everywhere(4.0)
    assert wrong == []
    assert answered


def test_a_pod_that_is_killed_in_a_fit_loses_its_job(school: School) -> None:
    """Its row says so with the reason; the model serves on, and the next fit is taken."""
    accepted = school.call("PUT", "Waits")
    job = school.job(accepted)
    until(lambda: job()["metadata"]["state"] == "running", 90)
    (pod,) = (
        one["metadata"]["name"]
        for one in school.shop.namespace.get(
            "pods",
            "--selector=app.kubernetes.io/component=job",
            "--field-selector=status.phase=Running",
        )
    )
    killed = time.monotonic()
    school.shop.namespace.kubectl("delete", "pod", pod, "--grace-period=0", "--force")
    found = until(lambda: _done(job()), 90)
    assert found["metadata"]["state"] == "lost", found
    figure(f"a pod killed in a fit: lost {time.monotonic() - killed:.1f} s later")
    school.fit(5.0)
    school.everywhere(5.0)


def test_a_cancelled_job_ends_its_pod(school: School) -> None:
    """Nothing of it runs on."""
    accepted = school.call("PUT", "Waits")
    job = school.job(accepted)
    until(lambda: job()["metadata"]["state"] == "running", 90)
    path = urlsplit(accepted.headers["Location"]).path.removeprefix("/models/")
    assert school.call("DELETE", path).ok
    found = until(lambda: _done(job()), 60)
    assert found["metadata"]["state"] == "cancelled", found
    until(lambda: all(not one["status"].get("active") for one in school.jobs()), 60)
