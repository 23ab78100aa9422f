"""A pod that a rollout has pinned serves one commit, whatever the ref, and never gives up."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import requests

from tests.fixtures.git import GitServer
from tests.fixtures.service import Service, answers
from tests.service.following import ADMIN, answered_by, following, push, sync, told, webhook
from tests.waiting import patient, setting, until

BROKEN = (
    "raise RuntimeError('no licence')\n\n\nclass {}:\n    def transform_predict(self):\n"
    "        return {{}}\n"
)


def unready(service: Service, words: str) -> str:
    """The reason why the service is not ready, once it holds these words."""

    def found() -> str:
        answer = service.get("/readyz")
        assert answer.status_code == 503
        detail = str(answer.json()["detail"])
        return detail if words in detail else ""

    return until(found, 60, words)


def test_a_pinned_commit_is_served_whatever_the_ref_says(server: GitServer, tmp_path: Path) -> None:
    """It asks nobody which commit is wanted, says that it is pinned, and a sync is refused with
    what to do.
    """
    pinned = server.git("rev-parse", "main")
    push(server, "newer")
    with following(
        tmp_path, server, MODELSYNC_GIT_REVISION=pinned, MODELSYNC_ROLLOUT_DEPLOYMENT="shop"
    ) as service:
        answered_by(service, pinned, 0)
        refs = [path for _, path, _ in server.requests if "info/refs" in path]
        assert len(refs) == 1  # the fetch; no ls-remote before it
        for answer in (
            requests.post(f"{service.base}/sync", headers=ADMIN, timeout=patient(30)),
            webhook(service),
        ):
            assert answer.status_code == 409
            assert "kubectl create job --from=cronjob/shop-rollout" in answer.json()["detail"]
        assert requests.post(f"{service.base}/sync", timeout=patient(30)).status_code == 401
        found = told(service)
        assert (found["pinned"], found["served"], found["wanted"], found["in_step"]) == (
            pinned,
            pinned,
            pinned,
            True,
        )
        page = service.get("/models/", headers={**ADMIN, "Accept": "text/html"})
        assert f'pinned to <code title="{pinned}"' in page.text
        assert sync(service)["result"] == "unchanged"


@pytest.mark.long
def test_a_pinned_pod_starts_again_without_git(server: GitServer, tmp_path: Path) -> None:
    """Its container is restarted while the git server is away: it serves what it has."""
    pinned = server.git("rev-parse", "main")
    with following(tmp_path, server, MODELSYNC_GIT_REVISION=pinned) as service:
        answered_by(service, pinned, 0)
    with server.away(), following(tmp_path, server, MODELSYNC_GIT_REVISION=pinned) as service:
        answered_by(service, pinned, 0)
        assert sync(service)["result"] == "unchanged"


@pytest.mark.long
def test_a_commit_that_is_not_there_keeps_the_pod_unready(
    server: GitServer, tmp_path: Path
) -> None:
    """The pod lives, is unready, says why, and tries again; it does not exit."""
    with following(tmp_path, server, ready=False, MODELSYNC_GIT_REVISION="1" * 40) as service:
        assert "no branch or tag leads to it" in unready(service, "1" * 40)
        assert service.get("/livez").status_code == 200
        until(
            lambda: len(service.lines(event="sync", result="error", reason="ref")) > 1, 60
        )  # tried again
        assert service.process.poll() is None


@pytest.mark.long
def test_the_first_sync_is_tried_again_without_a_schedule(
    server: GitServer, tmp_path: Path
) -> None:
    """The git server is away when the pod starts: it is unready with the reason, and ready once it
    can be.
    """
    pinned = server.git("rev-parse", "main")
    with contextlib.ExitStack() as stack:
        away = stack.enter_context(contextlib.ExitStack())
        away.enter_context(server.away())
        service = stack.enter_context(
            following(
                tmp_path,
                server,
                ready=False,
                MODELSYNC_GIT_REVISION=pinned,
                MODELSYNC_SYNC_TIMEOUT=setting(6),
            )
        )
        unready(service, "cannot be reached")
        assert service.get("/livez").status_code == 200
        away.close()
        answered_by(service, pinned, 0, 60)


@pytest.mark.long
def test_a_commit_that_only_its_id_leads_to(server: GitServer, tmp_path: Path) -> None:
    """A server that serves no commit by its id is asked for its branches; one of the history is
    found there.
    """
    pinned = server.git("rev-parse", "main")
    push(server, "newer")
    server.dumb = True  # plain files: no want of any kind
    server.git("update-server-info")
    with following(tmp_path, server, MODELSYNC_GIT_REVISION=pinned) as service:
        answered_by(service, pinned, 0)


# --- on probation ---------------------------------------------------------------------------------

HERE_ONLY = """import os

if os.environ.get("THE_POD"):
    raise RuntimeError("not in a pod")


class Model:
    def transform_predict(self):
        return {"value": 1}
"""


@pytest.mark.long
def test_a_model_that_breaks_only_in_the_pod_keeps_it_unready(
    server: GitServer, tmp_path: Path
) -> None:
    """It passed the check of the rollout: the pod gets no traffic, and the pods before it go on."""
    bad = server.push({"Model/etls.py": HERE_ONLY, "Other/etls.py": answers(1, "Other")})
    env = {"MODELSYNC_GIT_REVISION": bad, "THE_POD": "yes"}
    with following(tmp_path, server, ready=False, env=env) as service:
        assert "Model: etls.py:4" in unready(service, "not in a pod")
        until(lambda: len(service.lines(event="sync", reason="trial")) > 1, 60)  # it may pass
        assert service.process.poll() is None


@pytest.mark.long
@pytest.mark.parametrize("known", ["proven", "broken before"])
def test_a_model_that_is_known_to_break_keeps_nobody_unready(
    server: GitServer, tmp_path: Path, known: str
) -> None:
    """The commit was ready everywhere once, or the rollout found the model broken: the others
    answer.
    """
    commit = server.push({"New/etls.py": BROKEN.format("New")})
    pin = f"{commit} except New" if known == "broken before" else commit
    proven = {"MODELSYNC_GIT_PROVEN": commit} if known == "proven" else {}
    with following(tmp_path, server, MODELSYNC_GIT_REVISION=pin, env=proven) as service:
        answered_by(service, commit, 0)
        answer = service.post("New")
        assert (answer.status_code, "no licence" in answer.text) == (503, True)


LOADED_TWICE = """import pathlib

seen = pathlib.Path(__file__).with_name("loaded")
if seen.exists():
    raise RuntimeError("the second time")
seen.touch()


class Model:
    def transform_predict(self):
        return {"value": 1}
"""


@pytest.mark.long
def test_a_model_that_breaks_after_the_check_keeps_a_pod_on_probation_unready(
    server: GitServer, tmp_path: Path
) -> None:
    """It loads in the check and not where it would serve: unready and alive, tried again, never
    another commit.
    """
    bad = server.push({"Model/etls.py": LOADED_TWICE})
    with following(tmp_path, server, ready=False, MODELSYNC_GIT_REVISION=bad) as service:
        unready(service, "the second time")
        until(lambda: len(service.lines(message="the release is not served")) > 1, 60)
        unready(service, "")
        assert service.process.poll() is None
