"""`modelsync rollout --follow`, the process itself: from a push, or a request, to pinned pods."""

from __future__ import annotations

import socket

import pytest

from tests.fixtures.service import answers
from tests.rollout.followed import NEVER, TOKEN, following
from tests.rollout.stage import BROKEN, Stage
from tests.service.following import push
from tests.waiting import patient, until


def test_a_push_is_rolled_out_by_itself(stage: Stage) -> None:
    """Again and again; the Events are those of a run, and between two pushes nothing is logged."""
    stage.rolled_out()
    with following(stage) as one:
        for value in (1, 2):
            commit = push(stage.git, value)
            one.settled(commit)
            assert (stage.api.pin, stage.api.data["good"]) == (commit, commit)
        assert stage.api.told() == ["RolloutStarted", "RolloutComplete"] * 2
        told = one.status()
        assert (told["wanted"], told["pinned"], told["result"]) == (commit, commit, "published")
        assert told["rollout"]["pods"]["available"] == 3
        assert one.metric("rollouts_total", deployment="modelsync", event="Complete") == 2
        assert one.metric("rollout_duration_seconds_count", deployment="modelsync") == 2
        polls = one.metric("follower_polls_total", deployment="modelsync", result="ok")
        lines = len(one.run.lines(event="rollout"))
        until(
            lambda: (
                one.metric("follower_polls_total", deployment="modelsync", result="ok") > polls + 3
            )
        )
        assert len(one.run.lines(event="rollout")) == lines
        assert one.stop() == 0


def test_the_first_commit_is_pinned(stage: Stage) -> None:
    """Of a Deployment that has no pin: pods that wait for one get it within seconds."""
    commit = push(stage.git, 1)
    with following(stage) as one:
        one.settled(commit)
        assert stage.api.pinned == [commit]


def test_a_webhook_is_heard_at_once(stage: Stage) -> None:
    """A signed push wakes it; a ping, another branch and a wrong signature do not."""
    stage.rolled_out()
    with following(stage, MODELSYNC_ROLLOUT_POLL=NEVER) as one:
        until(lambda: one.status()["wanted"])
        asked = len(stage.git.requests)
        commit = push(stage.git, 1)
        assert one.webhook(event="ping").json() == {"status": "pong"}
        other = one.webhook("other")
        assert (other.status_code, other.json()["status"]) == (202, "ignored")
        assert one.webhook(secret="wrong").status_code == 401
        assert (len(stage.git.requests), stage.api.pinned) == (asked, [])
        heard = one.webhook()
        assert (heard.status_code, heard.json()) == (
            202,
            {"status": "accepted", "see": "/models/sync"},
        )
        one.settled(commit)


def test_a_request_waits_for_the_rollout(stage: Stage) -> None:
    """`Prefer: wait` answers with what became of the commit, once that is known; without it at
    once. It needs the admin token.
    """
    stage.rolled_out()
    with following(stage, MODELSYNC_ROLLOUT_POLL=NEVER) as one:
        commit = push(stage.git, 1)
        assert one.ask(Authorization="Bearer no").status_code == 401
        answer = one.ask(wait=60)
        assert (answer.status_code, answer.headers["Preference-Applied"]) == (200, "wait=60")
        assert (answer.json()["in_step"], answer.json()["served"]) == (True, commit)
        assert stage.api.data["good"] == commit
        slow = push(stage.git, 2)
        stage.api.fate[slow] = "slow"
        late = one.ask(wait=2)
        assert (late.status_code, late.json()["result"]) == (202, None)
        at_once = one.ask()
        assert (at_once.status_code, at_once.headers["Location"]) == (202, "/models/sync")


def test_a_rejected_commit_is_told_and_left_alone(stage: Stage) -> None:
    """GET and the metrics say why; it is checked once more only with `?force=true`."""
    good = stage.rolled_out()
    bad = stage.git.push({"Model/etls.py": BROKEN})
    with following(stage, MODELSYNC_ROLLOUT_POLL=NEVER) as one:
        told = one.ask(wait=60).json()
        assert (told["result"], told["reason"], told["served"]) == ("failed", "check", good)
        assert "no licence" in told["message"]
        assert told["rollout"]["rejected"]["commit"] == bad
        assert one.metric("rollout_rejected", deployment="modelsync", reason="check") == 1
        assert one.ask(wait=60).status_code == 200
        assert len(one.run.lines(result="checking")) == 1
        assert one.ask("?force=true", wait=60).json()["result"] == "failed"
        assert len(one.run.lines(result="checking")) == 2
        assert stage.api.pinned == []
        mended = push(stage.git, 2)
        assert one.ask(wait=60).json()["served"] == mended


def test_a_better_commit_takes_the_place_of_one_that_hangs(stage: Stage) -> None:
    """The ref is read all the time, also while pods get ready."""
    stage.rolled_out()
    with following(stage) as one:
        hanging = push(stage.git, 1)
        stage.api.fate[hanging] = "slow"
        until(lambda: stage.api.pin == hanging)
        better = push(stage.git, 2)
        one.settled(better)
        assert stage.api.pinned == [hanging, better]


def test_without_a_repository_it_answers(stage: Stage) -> None:
    """As in `k8s/` before it is edited: the pod must not end again and again."""
    with following(stage, gitPath="") as one:
        assert one.get("/readyz").status_code == 200
        assert (one.status()["wanted"], one.status()["rollout"]) == (None, None)
        assert one.ask().status_code == 202


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"MODELSYNC_ROLLOUT_DEPLOYMENT": ""}, "MODELSYNC_ROLLOUT_DEPLOYMENT"),
        ({"KUBECONFIG": "nothing-here"}, "no cluster"),
        ({"MODELSYNC_PORT": "70000"}, "MODELSYNC_PORT"),
    ],
)
def test_settings_that_cannot_work(stage: Stage, env: dict[str, str], words: str) -> None:
    """Exit 2 and one line that says what to set."""
    run = stage.start("--follow", **env)
    assert run.code == 2
    assert words in run.log.read_text()
    assert len(run.log.read_text().splitlines()) == 1


def test_what_is_answered(stage: Stage) -> None:
    """The probes, and problem documents for the rest; GET needs a predict token if there is one."""
    stage.rolled_out()
    with following(stage, MODELSYNC_PREDICT_TOKENS="predict-token-9") as one:
        assert [one.get(path).status_code for path in ("/livez", "/readyz")] == [200, 200]
        assert one.get("/models/sync").status_code == 401
        found = one.get("/models/sync", Authorization="Bearer predict-token-9")
        assert found.status_code == 200
        assert one.ask(Authorization="Bearer predict-token-9").status_code == 403
        model = one.get("/models/Model", **TOKEN)
        assert (model.status_code, model.headers["Content-Type"]) == (
            404,
            "application/problem+json",
        )
        assert "/models/sync" in model.json()["detail"]


def test_slow_clients_keep_nobody_waiting(stage: Stage) -> None:
    """Those that send half a request, and then nothing."""
    stage.rolled_out()
    with following(stage) as one:
        host, port = one.url.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port)), patient(10)) for _ in range(100)]
        for client in slow:
            client.sendall(b"POST /models/sync HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        commit = push(stage.git, 1)
        one.settled(commit)
        assert one.get("/livez").status_code == 200
        for client in slow:
            client.close()


def test_what_a_check_leaves_behind_is_ended(stage: Stage) -> None:
    """A model may start a daemon when it is loaded; a process that stays must not keep it."""
    stage.rolled_out()
    daemon = (
        "import os\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    os.execvp('sleep', ['sleep', '3600.5'])\n"
    )
    with following(stage) as one:
        commit = stage.git.push({"Model/etls.py": daemon + answers(1)})
        one.settled(commit)
        until(lambda: one.children() == [])
