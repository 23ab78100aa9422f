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

from modelsync.rollout.pods import Complaint, Diagnosis, diagnose

NOW = datetime.now(UTC)


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
        said = Complaint("not ready: no release yet: so it is", away=away)
        assert diagnose([pod(port), pod(port)], NOW) == Diagnosis([said])


def test_a_pod_that_answers_ready_by_now_is_recovering() -> None:
    """The kubelet asks every few seconds: a commit is not to blame for these seconds."""
    with probed({"status": "ready"}, 200) as ready, probed({"detail": "no release yet"}) as not_yet:
        assert diagnose([pod(ready), pod(ready)], NOW) == Diagnosis([], recovering=True)
        said = Complaint("not ready: no release yet")
        assert diagnose([pod(ready), pod(not_yet)], NOW) == Diagnosis([said], recovering=False)
        assert diagnose([pod(ready, name="beside")], NOW) == Diagnosis([], recovering=False)


def test_a_container_that_has_ended_says_how() -> None:
    """Exit code, reason and the last words, beside what the others say."""
    killed = client.V1ContainerState(
        terminated=client.V1ContainerStateTerminated(exit_code=137, reason="OOMKilled")
    )
    back_off = client.V1ContainerState(
        waiting=client.V1ContainerStateWaiting(reason="CrashLoopBackOff")
    )
    found = diagnose([pod(1, state=back_off, last_state=killed)], NOW)
    assert found.complaints == [
        Complaint("CrashLoopBackOff"),
        Complaint("modelsync ended with 137 (OOMKilled)"),
    ]


@pytest.mark.parametrize(("seconds", "recovering"), [(5, True), (300, False)])
def test_pods_that_have_just_got_ready_are_not_to_blame(seconds: int, recovering: bool) -> None:
    """Their controller may not have noticed yet; ready for long, they are not what keeps a rollout
    from its end.
    """
    ready = pod(1, ready=True)
    since = NOW - timedelta(seconds=seconds)
    ready.status.conditions = [
        client.V1PodCondition(type="Ready", status="True", last_transition_time=since)
    ]
    assert diagnose([ready], NOW) == Diagnosis([], recovering)
    assert not diagnose([], NOW).recovering
