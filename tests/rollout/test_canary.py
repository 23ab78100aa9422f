"""The canary beside the stable pods, as the CronJob runs both: what it serves when, and what
becomes of the commits of its ref.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.fixtures.kubernetes import ApiServer
from tests.rollout.followed import following
from tests.rollout.stage import BROKEN, Run, Stage
from tests.service.following import push
from tests.waiting import until

pytestmark = pytest.mark.long

REF = {"MODELSYNC_CANARY_REF": "candidate"}
RULE = {
    **REF,
    "MODELSYNC_CANARY_DECIDES": "both",
    "MODELSYNC_CANARY_REQUESTS": "100",
    "MODELSYNC_CANARY_AFTER": "1ms",
}


@pytest.fixture
def canary(stage: Stage) -> ApiServer:
    """The second Deployment of the stage."""
    stage.api.canary = ApiServer(stage.folder, "modelsync-canary")
    return stage.api.canary


def good(stage: Stage, run: Run) -> Run:
    assert run.code == 0, run.log.read_text()
    return run


def told(stage: Stage, reason: str) -> list[tuple[str, str]]:
    """Deployment and message of each Event of a reason."""
    return [
        (event["involvedObject"]["name"], event["message"])
        for event in stage.api.events
        if event["reason"] == reason
    ]


def test_while_there_is_nothing_to_try_it_serves_what_the_stable_pods_serve(
    stage: Stage, canary: ApiServer
) -> None:
    """Also where its ref does not exist; and it follows them."""
    for value in (1, 2):
        commit = push(stage.git, value)
        run = good(stage, stage.run(**REF))
        assert (stage.api.pin, canary.pin, canary.data["good"]) == (commit,) * 3
        assert "candidate does not exist" in run.lines(result="resting")[-1]["message"]
    writes = len(stage.api.writes())
    good(stage, stage.run(**REF))
    assert len(stage.api.writes()) == writes


def test_a_candidate_reaches_the_canary_alone(stage: Stage, canary: ApiServer) -> None:
    """Checked and rolled out as any commit, with its own state and Events; the stable pods stay."""
    stable = push(stage.git, 1)
    candidate = push(stage.git, 2, branch="candidate", onto=stable)
    good(stage, stage.run(**REF))
    assert (stage.api.pin, canary.pin) == (stable, candidate)
    assert canary.pinned == [stable, candidate]  # so that it serves something good all along
    assert (stage.api.data["good"], canary.data["good"]) == (stable, candidate)
    names = [name for name, _ in told(stage, "RolloutComplete")]
    assert names == ["modelsync", "modelsync-canary", "modelsync-canary"]


def test_a_candidate_that_is_rejected_is_left(stage: Stage, canary: ApiServer) -> None:
    """It is not tried again, and the canary goes on following the stable pods."""
    stable = push(stage.git, 1)
    stage.git.push({"Model/etls.py": BROKEN}, branch="candidate", onto=stable)
    assert stage.run(**REF).code == 1
    assert canary.pin == stable
    assert canary.data["outcome"] == "rejected"
    assert "no licence" in canary.data["because"]
    newer = push(stage.git, 3)
    again = good(stage, stage.run(**REF))
    assert (stage.api.pin, canary.pin) == (newer, newer)
    assert [line["tip"] for line in again.lines(result="checking")] == [newer]
    mended = push(stage.git, 4, branch="candidate")
    good(stage, stage.run(**REF))
    assert canary.pin == mended


def test_a_candidate_that_does_not_get_ready_is_taken_back(stage: Stage, canary: ApiServer) -> None:
    """Its pods' reasons are the Event's, and the stable commit is back; that may pass, so it is
    tried again as any commit is.
    """
    stable = push(stage.git, 1)
    candidate = push(stage.git, 2, branch="candidate", onto=stable)
    canary.fate[candidate] = "stuck"
    assert stage.run(**REF).code == 1
    assert canary.pin == stable
    ((name, message),) = told(stage, "RolloutRolledBack")
    assert name == "modelsync-canary"
    assert "CrashLoopBackOff" in message
    assert canary.data["rejected"] == candidate
    assert canary.data["retry"]
    assert "judged" not in canary.data


def test_promoted_by_hand(stage: Stage, canary: ApiServer) -> None:
    """The stable pods get the canary's commit, until their ref moves; the canary has it too."""
    stable = push(stage.git, 1)
    candidate = push(stage.git, 2, branch="candidate", onto=stable)
    good(stage, stage.run(**REF))
    good(stage, stage.run("--promote", **REF))
    assert (stage.api.pin, canary.pin) == (candidate, candidate)
    assert stage.api.data["good"] == candidate
    assert told(stage, "CanaryPromoted") == [
        (
            "modelsync",
            f"{candidate[:12]}, the canary's commit, is promoted until the ref moves: by hand",
        )
    ]
    good(stage, stage.run(**REF))
    assert (stage.api.pin, canary.pin) == (candidate, candidate)
    assert told(stage, "RolloutUndone") == []
    newer = push(stage.git, 3)
    good(stage, stage.run(**REF))
    assert (stage.api.pin, canary.pin) == (newer, newer)


def test_promoted_and_then_merged(stage: Stage, canary: ApiServer) -> None:
    """When the ref is fast-forwarded to it, there is nothing left to do."""
    stable = push(stage.git, 1)
    candidate = push(stage.git, 2, branch="candidate", onto=stable)
    good(stage, stage.run(**REF))
    good(stage, stage.run("--promote", **REF))
    stage.git.git("update-ref", "refs/heads/main", candidate)
    pinned = list(stage.api.pinned)
    good(stage, stage.run(**REF))
    assert (stage.api.pinned, stage.api.data["good"]) == (pinned, candidate)
    assert "rejected" not in stage.api.data


def test_dropped_by_hand(stage: Stage, canary: ApiServer) -> None:
    """The canary goes back to the stable commit; the next candidate is tried."""
    stable = push(stage.git, 1)
    candidate = push(stage.git, 2, branch="candidate", onto=stable)
    good(stage, stage.run(**REF))
    good(stage, stage.run("--drop", **REF))
    assert (stage.api.pin, canary.pin) == (stable, stable)
    ((name, message),) = told(stage, "CanaryDropped")
    assert (name, message[:12]) == ("modelsync-canary", candidate[:12])
    good(stage, stage.run(**REF))
    assert canary.pin == stable
    better = push(stage.git, 3, branch="candidate")
    good(stage, stage.run(**REF))
    assert canary.pin == better


def test_the_follower_rolls_out_both(stage: Stage, canary: ApiServer) -> None:
    """Within seconds, each its own ref; what a person decides beside it, it brings to all pods."""
    stable = push(stage.git, 1)
    with following(stage, REF) as one:
        one.settled(stable)
        until(lambda: canary.data.get("good") == stable, 30)
        candidate = push(stage.git, 2, branch="candidate", onto=stable)
        until(lambda: canary.data.get("good") == candidate, 30)
        assert stage.api.pin == stable
        good(stage, stage.run("--promote", **REF))
        until(lambda: stage.api.data["good"] == candidate, 30)
        assert canary.data["outcome"] == "promoted"
        assert one.stop() == 0


@pytest.mark.parametrize(
    ("option", "words"),
    [("--promote", "the canary serves what the stable pods serve"), ("--drop", "serves what the")],
)
def test_nothing_to_promote_or_drop(
    stage: Stage, canary: ApiServer, option: str, words: str
) -> None:
    """Exit 2, one line, and nothing is changed."""
    push(stage.git, 1)
    good(stage, stage.run(**REF))
    writes = len(stage.api.writes())
    run = stage.run(option, **REF)
    assert run.code == 2
    assert words in run.log.read_text()
    assert len(stage.api.writes()) == writes


def test_status_tells_of_both(stage: Stage, canary: ApiServer) -> None:
    """What each serves, and what became of the last commit that was tried."""
    stable = push(stage.git, 1)
    candidate = push(stage.git, 2, branch="candidate", onto=stable)
    good(stage, stage.run(**REF))
    good(stage, stage.run("--drop", **REF))
    said = good(stage, stage.run("--status", **REF)).log.read_text()
    before, _, after = said.partition("canary:\n")
    assert f"pinned: {stable}" in before
    assert f"  pinned: {stable}" in after
    assert f"  dropped: {candidate}: by hand" in after


def test_without_a_canary_there_is_none_to_promote(stage: Stage) -> None:
    """The message names the setting."""
    push(stage.git, 1)
    run = stage.run("--promote")
    assert run.code == 2
    assert "MODELSYNC_CANARY_REF is not set" in run.log.read_text()


# --- the rule -------------------------------------------------------------------------------------


@contextmanager
def metrics() -> Iterator[tuple[int, dict[str, int]]]:
    """A pod's `/metrics`: its port, and what it has counted of one model, which a test changes."""
    counted = {"requests": 0, "failures": 0}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = (
                "# TYPE modelsync_requests counter\n"
                f'modelsync_requests_total{{model="Model",code="200"}} {counted["requests"]}\n'
                "# TYPE modelsync_request_failures counter\n"
                f'modelsync_request_failures_total{{model="Model"}} {counted["failures"]}\n'
            ).encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1], counted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ready_pod(api: ApiServer, pin: str, port: int) -> None:
    """A pod of the Deployment that is ready and answers at a port of this machine."""
    api.add_pod(pin, podIP="127.0.0.1", conditions=[{"type": "Ready", "status": "True"}])
    ports = [{"name": "http", "containerPort": port}]
    api.pods[-1]["spec"] = {"containers": [{"name": "modelsync", "image": "m", "ports": ports}]}


@pytest.mark.parametrize(
    ("failures", "event", "code"), [(0, "CanaryPromoted", 0), (50, "CanaryDropped", 1)]
)
def test_the_rule_decides_by_what_pods_have_counted(
    stage: Stage, canary: ApiServer, failures: int, event: str, code: int
) -> None:
    """From the first run on after the canary was ready: what was counted before does not count."""
    stable = push(stage.git, 1)
    candidate = push(stage.git, 2, branch="candidate", onto=stable)
    with metrics() as (one, old), metrics() as (other, new):
        ready_pod(stage.api, stable, one)
        ready_pod(canary, candidate, other)
        old["requests"], new["requests"], new["failures"] = 10_000, 500, 500
        run = good(stage, stage.run(**RULE))
        assert run.lines(result="on trial")
        assert json.loads(canary.data["trial"])["commit"] == candidate
        waiting = good(stage, stage.run(**RULE)).lines(result="judged")[0]
        assert waiting["message"].endswith("wait, 0 of 100 requests")
        new["requests"] += 200
        new["failures"] += failures
        assert stage.run(**RULE).code == code
    assert told(stage, event), stage.api.told()
    assert (stage.api.pin, canary.pin) == ((stable,) * 2 if failures else (candidate,) * 2)
    assert "trial" not in canary.data


def test_the_rule_may_only_drop(stage: Stage, canary: ApiServer) -> None:
    """With `drop` a good commit waits for a person."""
    rule = {**RULE, "MODELSYNC_CANARY_DECIDES": "drop"}
    stable = push(stage.git, 1)
    candidate = push(stage.git, 2, branch="candidate", onto=stable)
    with metrics() as (port, counted):
        ready_pod(canary, candidate, port)
        good(stage, stage.run(**rule))
        counted["requests"] = 1000
        run = good(stage, stage.run(**rule))
    assert run.lines(result="judged")[0]["outcome"] == "promote"
    assert (stage.api.pin, canary.pin) == (stable, candidate)


def test_without_a_rule_nothing_is_asked_or_decided(stage: Stage, canary: ApiServer) -> None:
    """The default: people promote and drop."""
    stable = push(stage.git, 1)
    push(stage.git, 2, branch="candidate", onto=stable)
    run = good(stage, stage.run(**REF))
    assert not run.lines(result="on trial")
    assert "trial" not in canary.data
