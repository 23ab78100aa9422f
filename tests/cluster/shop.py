"""The chart, installed so that its pods follow a repository, with a way in through nginx; and what
one sees of it.

with shop(cluster, namespace, image, git, folder) as shop:
    commit = shop.push(1)
    assert shop.roll_out().code == 0
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import yaml
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from tests.cluster.cluster import Cluster, Namespace, Object
from tests.fixtures.git import Files, GitServer
from tests.fixtures.load import Tally, load
from tests.fixtures.service import answers
from tests.records import Record, records
from tests.waiting import until

CHART = Path(__file__).parents[2] / "helm" / "modelsync"
NAME = "shop-modelsync"
ANNOTATION = "modelsync.dev/revision"

BODY = json.dumps({"variables": {}}).encode()
CONNECTIONS = 16
PAUSE = 0.05
"""Seconds between two requests of a connection: a load that leaves two processors room for the
cluster itself.
"""

VALUES: dict[str, Any] = {
    "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
    "rollout": {"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}, "timeout": "4m"},
    "sync": {"schedule": "off", "checkTimeout": "10s"},
    "probes": {"readiness": {"periodSeconds": 1, "failureThreshold": 2}},
    "lifecycle": {"preStopSleepSeconds": 4, "minReadySeconds": 2, "progressDeadlineSeconds": 45},
    "settings": {"MODELSYNC_LOG_FORMAT": "json"},
}


@dataclass
class Job:
    """A run of the CronJob's job that has ended: its exit code, what it logged, and how long it
    took.
    """

    name: str
    code: int
    log: str
    seconds: float

    def lines(self, **fields: Any) -> list[Record]:
        """The log records that have these fields."""
        return records(self.log, **fields)


@dataclass
class Shop:
    """The release `shop` of the chart."""

    cluster: Cluster
    namespace: Namespace
    git: GitServer
    host: str
    values: Path
    image: str
    allowed: dict[str, object] = field(default_factory=dict)
    """Every commit that may answer, with the value it answers with."""

    # --- the repository and its rollouts ---

    def push(self, value: object, more: Files | None = None) -> str:
        """Push a commit in which `Model` answers with `value`; its hash."""
        commit = self.git.push({"Model/etls.py": answers(value), **(more or {})})
        self.allowed[commit] = value
        return commit

    def start(self) -> str:
        """Start a job from the CronJob, as an operator does; its name."""
        name = f"now-{time.monotonic_ns()}"
        self.namespace.kubectl("create", "job", f"--from=cronjob/{NAME}-rollout", name)
        return name

    def end(self, name: str, within: float = 300) -> Job:
        """Wait for a job's end."""
        started = time.monotonic()
        container = until(lambda: self._ended(name), within, f"the end of {name}")
        return Job(
            name,
            int(container["exitCode"]),
            self.namespace.kubectl("logs", f"job/{name}"),
            time.monotonic() - started,
        )

    def roll_out(self) -> Job:
        """A job from its start to its end."""
        return self.end(self.start())

    def log(self, job: str) -> str:
        """What a job has logged so far; empty where it has not started."""
        try:
            return self.namespace.kubectl("logs", f"job/{job}")
        except AssertionError:
            return ""

    def _ended(self, job: str) -> Object | None:
        pods = self.namespace.get("pods", f"--selector=job-name={job}")
        for pod in pods:
            for status in pod["status"].get("containerStatuses", ()):
                if ended := status["state"].get("terminated"):
                    return dict(ended)
        return None

    # --- what one sees ---

    @property
    def deployment(self) -> Object:
        (found,) = self.namespace.get("deployment", NAME)
        return found

    @property
    def pin(self) -> str:
        return str(
            self.deployment["spec"]["template"]["metadata"]
            .get("annotations", {})
            .get(ANNOTATION, "")
        )

    @property
    def state(self) -> dict[str, str]:
        """The state of the rollouts, without what is empty."""
        (found,) = self.namespace.get("configmap", f"{NAME}-rollout")
        return {name: value for name, value in found.get("data", {}).items() if value}

    def events(self, reason: str, words: str = "") -> list[str]:
        """The messages of a reason's Events on the Deployment."""
        found = self.namespace.get(
            "events", f"--field-selector=reason={reason},involvedObject.name={NAME}"
        )
        return [event["message"] for event in found if words in event["message"]]

    def pods(self) -> list[Object]:
        """The serving pods that are not about to end."""
        found = self.namespace.get("pods", "--selector=app.kubernetes.io/component=server")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def names(self) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.pods()}

    def ready(self) -> set[str]:
        """The names of the pods that are ready."""
        return {
            pod["metadata"]["name"]
            for pod in self.pods()
            if any(
                one["type"] == "Ready" and one["status"] == "True"
                for one in pod["status"].get("conditions", ())
            )
        }

    def answers_of_pods(self) -> dict[str, str]:
        """From pod to the commit that it answers with, each asked by itself; one that cannot be
        asked says so.
        """
        found = {}
        for pod in self.pods():
            try:
                address = pod["status"]["podIP"]
                answer = requests.post(
                    f"http://{address}:8080/models/Model", data=BODY, headers=JSON, timeout=10
                )
                found[pod["metadata"]["name"]] = answer.headers["X-Modelsync-Release"]
            except (requests.RequestException, KeyError) as error:
                found[pod["metadata"]["name"]] = type(error).__name__
        return found

    def ask(self) -> requests.Response:
        """One request through nginx."""
        return self.cluster.post(self.host, "/models/Model", {"variables": {}})

    def everywhere(self, commit: str, pods: int = 2) -> bool:
        """Whether that many pods answer, all of them with this commit."""
        found = self.answers_of_pods()
        assert set(found.values()) == {commit}, found
        assert len(found) == pods, found
        return True

    def under_load(self, connections: int = CONNECTIONS) -> AbstractContextManager[Tally]:
        """Clients that keep their connections to nginx and never stop asking; see `right`."""
        address = urlsplit(self.cluster.ingress)
        return load(
            address.port or 80,
            "/models/Model",
            BODY,
            connections=connections,
            check=self.right,
            host=self.host,
            address=address.hostname or "",
            pause=PAUSE,
            proxied=True,
        )

    def right(self, status: int, headers: Mapping[str, str], body: bytes) -> str | None:
        """What is wrong with an answer: it must be that of one commit that may serve, under its
        name.
        """
        commit = headers.get("x-modelsync-release", "")
        if status != 200:
            return f"{time.strftime('%X')} {status} {body[:200]!r}"
        if commit not in self.allowed or json.loads(body) != {"value": self.allowed[commit]}:
            return f"{time.strftime('%X')} {commit} {body[:200]!r}"
        return None

    # --- changing it ---

    def upgrade(self, *arguments: str, **values: Any) -> None:
        """Change values of the release; `arguments` are more of Helm's."""
        changed = self.values.with_name(f"changed-{time.monotonic_ns()}.yaml")
        changed.write_text(yaml.safe_dump(values))
        self.namespace.helm(
            *("upgrade", "shop", str(CHART), "--reuse-values", "--values", str(changed)), *arguments
        )

    def scale(self, replicas: int) -> None:
        self.namespace.kubectl("scale", f"deployment/{NAME}", f"--replicas={replicas}")


JSON = {"Content-Type": "application/json"}


@contextlib.contextmanager
def shop(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, folder: Path, **values: Any
) -> Iterator[Shop]:
    """Install it with two pods, one commit pushed and rolled out; `values` over those of VALUES,
    group by group.
    """
    host = f"{namespace.name}.modelsync.test"
    repository, _, tag = image.rpartition(":")
    given = {
        **VALUES,
        "image": {"repository": repository, "tag": tag},
        "git": {"path": git.url, "protocols": "http"},
        "ingress": {
            "enabled": True,
            "hosts": [host],
            "annotations": {"nginx.org/use-cluster-ip": "true"},
        },
    }
    for group, changed in values.items():
        given[group] = (
            {**given[group], **changed} if isinstance(given.get(group), dict) else changed
        )
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(given))
    made = Shop(cluster, namespace, git, host, file, image)
    commit = made.push(0)
    namespace.helm(
        "install", "shop", str(CHART), "--values", str(file), "--wait", "--timeout", "240s"
    )
    if given["sync"].get("mode", "rollout") == "rollout":
        first = made.roll_out()
        assert first.code == 0, first.log
        assert made.state["good"] == made.pin == commit
    until(lambda: made.ask().ok, 60, "nginx knows us")
    yield made


@contextlib.contextmanager
def asked(cluster: Cluster, host: str, path: str) -> Iterator[tuple[list[str], list[str]]]:
    """A client of the ingress that never stops asking; yields its answers and those that are wrong,
    as they come.

    A request is sent once more if its connection is closed before any answer, as browsers do
    (RFC 9112, section 9.3.1): nginx closes idle connections when it reads a new configuration,
    which is another test's ingress. What befalls a pod comes as a status of nginx.
    """
    answered: list[str] = []
    wrong: list[str] = []
    ended = threading.Event()
    closed = Retry(total=1, connect=0, read=1, redirect=0, status=0, allowed_methods=None)

    def ask() -> None:
        with requests.Session() as session:
            session.mount("http://", HTTPAdapter(max_retries=closed))
            while not ended.wait(0.02):
                try:
                    answer = session.post(
                        f"{cluster.ingress}{path}",
                        json={"variables": {}},
                        headers={"Host": host},
                        timeout=30,
                    )
                    answered.append(answer.text)
                    if answer.status_code != 200:
                        wrong.append(f"{answer.status_code} {answer.text[:200]}")
                except requests.RequestException as error:
                    wrong.append(repr(error))

    client = threading.Thread(target=ask)
    client.start()
    try:
        yield answered, wrong
    finally:
        ended.set()
        client.join()


def figure(text: str) -> None:
    """Print what was measured."""
    print(f"\n    {text}", flush=True)


def within(seconds: float, condition: Callable[[], Any], message: str = "") -> float:
    """Wait until it is so, and return how many seconds that took."""
    started = time.monotonic()
    until(condition, seconds, message)
    return time.monotonic() - started
