"""Why pods are not ready, told by the pods themselves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from kubernetes import client

from modelsync.rollout import pods
from modelsync.rollout.pods import Complaint

NOW = datetime.now(UTC)
PATIENCE = 300
"""Seconds that each pod gets."""


def diagnose(found: list[client.V1Pod], now: datetime, patience: float) -> list[Complaint]:
    """The complaints of pods, written with the client's types, as the API has them."""
    as_json = client.ApiClient(client.Configuration()).sanitize_for_serialization(found)
    return pods.diagnose(as_json, now, patience)


@contextmanager
def probed(answer: Any, status: int = 503) -> Iterator[int]:
    """A readiness probe that answers with this; its port."""

    class Probe(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Probe) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def pod(port: int, **status: Any) -> client.V1Pod:
    probe = client.V1Probe(http_get=client.V1HTTPGetAction(path="/readyz", port="http"))
    ports = [client.V1ContainerPort(name="http", container_port=port)]
    running = client.V1ContainerState(running=client.V1ContainerStateRunning())
    container = {
        "name": "modelsync",
        "image": "i",
        "image_id": "i",
        "ready": False,
        "restart_count": 0,
    }
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name="p"),
        spec=client.V1PodSpec(
            containers=[client.V1Container(name="modelsync", ports=ports, readiness_probe=probe)]
        ),
        status=client.V1PodStatus(
            pod_ip="127.0.0.1",
            container_statuses=[
                client.V1ContainerStatus(**{**container, "state": running, **status})
            ],
        ),
    )


@pytest.mark.parametrize(
    ("reason", "away"),
    [
        ("unreachable", True),
        ("auth", True),
        ("first_sync", True),
        ("no_models", False),
        (None, False),
    ],
)
def test_a_pod_that_cannot_get_its_commit_is_told_from_one_that_cannot_serve_it(
    reason: str | None, away: bool
) -> None:
    """By the reason in what its readiness probe answers."""
    answer = {"detail": "no release yet: so it is", **({"reason": reason} if reason else {})}
    with probed(answer) as port:
        said = Complaint("not ready: no release yet: so it is", away=away, passing=away)
        assert diagnose([pod(port), pod(port)], NOW, PATIENCE) == [said]


@pytest.mark.parametrize(
    ("reason", "passing"),
    [("check", True), ("not_ready", True), ("died", True), ("trial", False), ("ref", False)],
)
def test_a_cause_that_may_pass_is_told_from_one_that_lasts(reason: str, passing: bool) -> None:
    """A pod that was killed or late, or a database that is away, may be ready with the same commit
    later; a program that ends by itself will again.
    """
    with probed({"detail": "so it is", "reason": reason}) as port:
        assert [one.passing for one in diagnose([pod(port)], NOW, PATIENCE)] == [passing]
    ended = client.V1ContainerState(
        terminated=client.V1ContainerStateTerminated(exit_code=2, reason="Error")
    )
    assert [one.passing for one in diagnose([pod(1, state=ended)], NOW, PATIENCE)] == [False]


def test_a_pod_that_answers_ready_by_now_has_no_complaint() -> None:
    """The kubelet asks every few seconds: a commit is not to blame for these seconds."""
    with probed({"status": "ready"}, 200) as ready, probed({"detail": "no release yet"}) as not_yet:
        assert diagnose([pod(ready), pod(ready)], NOW, PATIENCE) == []
        said = Complaint("not ready: no release yet")
        assert diagnose([pod(ready), pod(not_yet)], NOW, PATIENCE) == [said]
        beside = [Complaint("beside is not ready", passing=True)]
        assert diagnose([pod(ready, name="beside")], NOW, PATIENCE) == beside


def test_a_container_that_has_ended_says_how() -> None:
    """Exit code, reason and the last words, beside what the others say."""
    killed = client.V1ContainerState(
        terminated=client.V1ContainerStateTerminated(exit_code=137, reason="OOMKilled")
    )
    back_off = client.V1ContainerState(
        waiting=client.V1ContainerStateWaiting(reason="CrashLoopBackOff")
    )
    assert diagnose([pod(1, state=back_off, last_state=killed)], NOW, PATIENCE) == [
        Complaint("CrashLoopBackOff", passing=True),
        Complaint("modelsync ended with 137 (OOMKilled)", passing=True),
    ]


def test_each_pod_gets_its_time_whatever_kept_it_from_starting() -> None:
    """From the start of its container, or from when no node was found for it; after a restart it
    has had its time.
    """

    def running(seconds: float, **status: Any) -> client.V1Pod:
        started = client.V1ContainerStateRunning(started_at=NOW - timedelta(seconds=seconds))
        return pod(1, state=client.V1ContainerState(running=started), **status)

    fails = [Complaint("its readiness probe fails", passing=True)]
    assert diagnose([running(PATIENCE - 1)], NOW, PATIENCE) == []
    assert diagnose([running(PATIENCE + 1)], NOW, PATIENCE) == fails
    assert diagnose([running(1, restart_count=1)], NOW, PATIENCE) == fails
    assert diagnose([unplaced(PATIENCE - 1)], NOW, PATIENCE) == []
    said = [Complaint("not scheduled: 0/2 nodes are available", passing=True)]
    assert diagnose([unplaced(PATIENCE + 1)], NOW, PATIENCE) == said


def unplaced(seconds: float) -> client.V1Pod:
    """A pod for which no node has been found so long."""
    found = pod(1)
    found.status.container_statuses = None
    found.status.conditions = [
        client.V1PodCondition(
            type="PodScheduled",
            status="False",
            message="0/2 nodes are available",
            last_transition_time=NOW - timedelta(seconds=seconds),
        )
    ]
    return found


def test_pods_that_are_ready_or_silent_have_no_complaint() -> None:
    """They are not what keeps a rollout from its end."""
    ready, silent = pod(1, ready=True), pod(1)
    ready.status.conditions = [client.V1PodCondition(type="Ready", status="True")]
    silent.status = client.V1PodStatus()  # nobody has looked at it
    assert diagnose([ready, silent], NOW, PATIENCE) == diagnose([], NOW, PATIENCE) == []
