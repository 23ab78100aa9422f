from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from modelsync.api.app import create_app
from modelsync.sync.status import Status, write_status
from tests.api.serving import COMMIT, FAULT, a_service, is_problem, read

SECRET = "webhook-sécret"
GITHUB = {"ref": "refs/heads/main", "repository": {"default_branch": "main"}}
GITLAB = {"ref": "refs/heads/main", "project": {"default_branch": "main"}}


class Asked:
    """Counts the syncs that were requested."""

    count = 0
    forced = 0

    def __call__(self, force: bool) -> None:
        self.count += 1
        self.forced += force


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def client(tmp_path: Path, asked: Asked) -> FlaskClient:
    given = {
        "MODELSYNC_WEBHOOK_SECRET": SECRET,
        "MODELSYNC_ADMIN_TOKENS": "a1",
        "MODELSYNC_PREDICT_TOKENS": "p1",
    }
    return create_app(a_service(tmp_path, asked, env=given)).test_client()


def digest(body: bytes, how: str = "sha256", secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, getattr(hashlib, how)).hexdigest()


def signed(body: bytes, host: str, secret: str = SECRET) -> dict[str, str]:
    match host:
        case "GitHub":
            own = {
                "X-Hub-Signature": f"sha1={digest(body, 'sha1', secret)}",
                "X-GitHub-Event": "push",
            }
            return {**own, "X-Hub-Signature-256": f"sha256={digest(body, secret=secret)}"}
        case "Gitea" | "Forgejo":
            return {f"X-{host}-Signature": digest(body, secret=secret), f"X-{host}-Event": "push"}
    return {"X-Gitlab-Token": secret.encode().decode("latin-1"), "X-Gitlab-Event": "Push Hook"}


HOSTS = ("GitHub", "Gitea", "Forgejo", "GitLab")


def send(client: FlaskClient, event: Any, headers: dict[str, str]) -> Any:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return client.post(
        "/models/sync", data=body, headers={"Content-Type": "application/json", **headers}
    )


@pytest.mark.parametrize("host", HOSTS)
def test_a_signed_push_asks_for_a_sync(client: FlaskClient, asked: Asked, host: str) -> None:
    """The answer is 202 at once, with the path of the sync's status."""
    body = json.dumps(GITLAB if host == "GitLab" else GITHUB).encode()
    answer = send(client, body, signed(body, host))
    assert (answer.status_code, read(answer)["status"], asked.count) == (202, "accepted", 1)
    assert answer.headers["Location"] == read(answer)["see"] == "/models/sync"


@pytest.mark.parametrize("host", HOSTS)
def test_a_wrong_signature_is_refused(client: FlaskClient, asked: Asked, host: str) -> None:
    """Another secret, or a body that was changed on the way, is refused with 401."""
    body = json.dumps(GITHUB).encode()
    is_problem(send(client, body, signed(body, host, secret="other")), 401)
    if host != "GitLab":  # which does not sign the body
        is_problem(send(client, body + b" ", signed(body, host)), 401)
    assert asked.count == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-GitHub-Event": "push"},
        {"X-GitHub-Event": "ping"},
        {"X-Gitlab-Event": "Push Hook"},
        {"X-Hub-Signature": f"sha1={digest(b'{}', 'sha1')}"},
        {"X-Hub-Signature-256": ""},
        {"X-Hub-Signature-256": f"sha1={digest(b'{}', 'sha1')}"},
        {"X-Hub-Signature-256": digest(b"{}")},
        {"X-Hub-Signature-256": "sha256=é"},
        {"X-Gitea-Signature": ""},
        {"X-Gitlab-Token": ""},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic YTE6"},
    ],
)
def test_what_is_not_signed_is_refused(
    client: FlaskClient, asked: Asked, headers: dict[str, str]
) -> None:
    """No signature, an empty one, SHA-1 and a wrong token are refused with 401."""
    is_problem(send(client, b"{}", headers), 401)
    assert asked.count == 0


def test_the_admin_token_asks_for_a_sync_and_no_other(client: FlaskClient, asked: Asked) -> None:
    """The admin token needs no body; a predict token is refused with 403."""
    assert client.post("/models/sync", headers={"Authorization": "Bearer a1"}).status_code == 202
    is_problem(client.post("/models/sync", headers={"Authorization": "Bearer p1"}), 403)
    assert (asked.count, asked.forced) == (1, 0)


def test_an_admin_may_force_a_sync_and_a_webhook_may_not(client: FlaskClient, asked: Asked) -> None:
    """`?force=true` has the commit checked again, whatever was recorded of it."""
    admin = {"Authorization": "Bearer a1"}
    assert client.post("/models/sync?force=true", headers=admin).status_code == 202
    assert (asked.count, asked.forced) == (1, 1)
    body = json.dumps(GITHUB).encode()
    signed = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={digest(body)}"}
    answer = client.post(
        "/models/sync?force=true", data=body, headers=signed, content_type="application/json"
    )
    assert answer.status_code == 202
    assert (asked.count, asked.forced) == (2, 1)


def test_until_something_is_set_nobody_may(tmp_path: Path, asked: Asked) -> None:
    """A 403 names the missing setting; with only a webhook secret, no signature is a 401."""
    client = create_app(a_service(tmp_path, asked)).test_client()
    assert "MODELSYNC_ADMIN_TOKENS" in is_problem(client.post("/models/sync"), 403)["detail"]
    assert (
        "MODELSYNC_WEBHOOK_SECRET"
        in is_problem(send(client, b"{}", signed(b"{}", "GitHub", "")), 403)["detail"]
    )
    client = create_app(a_service(tmp_path, asked, MODELSYNC_WEBHOOK_SECRET=SECRET)).test_client()
    assert "not signed" in is_problem(client.post("/models/sync"), 401)["detail"]
    assert asked.count == 0


def test_the_webhook_secret_rotates_with_its_file(tmp_path: Path, asked: Asked) -> None:
    """The secret's file is read at each request; if it cannot be read, the answer is 503."""
    file = tmp_path / "secret"
    client = create_app(
        a_service(tmp_path / "home", asked, MODELSYNC_WEBHOOK_SECRET_FILE=str(file))
    ).test_client()
    answer = send(client, b"{}", signed(b"{}", "Gitea", "new"))
    assert str(tmp_path) not in is_problem(answer, 503)["detail"]
    file.write_text("new\n")
    assert send(client, b"{}", signed(b"{}", "Gitea", "new")).status_code == 202


def test_size_then_signature_then_syntax(client: FlaskClient, asked: Asked) -> None:
    """413 comes before the signature is checked, 401 before the body is parsed, 400 last."""
    large = b" " * (1024**2 + 1)
    is_problem(send(client, large, {}), 413)
    is_problem(send(client, large, signed(large, "GitHub")), 413)
    is_problem(send(client, b"{not json", {"X-GitHub-Event": "push"}), 401)
    for malformed in (b"{not json", b"", b"[]", b"\xff"):
        is_problem(send(client, malformed, signed(malformed, "GitHub")), 400)
    assert asked.count == 0


def test_a_new_webhook_of_github_is_greeted(client: FlaskClient, asked: Asked) -> None:
    """The ping of GitHub is answered with 200 and requests no sync."""
    body = b'{"zen": "Design for failure."}'
    answer = send(client, body, {**signed(body, "GitHub"), "X-GitHub-Event": "ping"})
    assert (answer.status_code, answer.json, asked.count) == (200, {"status": "pong"}, 0)


def test_githubs_default_form_is_taken(client: FlaskClient, asked: Asked) -> None:
    """A form with the field `payload` is accepted; its signature covers the whole form."""
    body = b"payload=%7B%22ref%22%3A%22refs%2Fheads%2Fmain%22%7D"
    headers = {**signed(body, "GitHub"), "Content-Type": "application/x-www-form-urlencoded"}
    assert send(client, body, headers).status_code == 202
    assert asked.count == 1


@pytest.mark.parametrize(
    ("followed", "pushed", "syncs"),
    [
        ("HEAD", "refs/heads/main", True),
        ("HEAD", "refs/heads/topic", False),
        ("HEAD", "refs/tags/v1", False),
        ("release/1", "refs/heads/release/1", True),
        ("refs/heads/main", "refs/heads/main", True),
        ("main", "refs/heads/topic", False),
        ("v1", "refs/tags/v1", True),
        ("v1", "refs/heads/main", False),
        (COMMIT, "refs/heads/topic", True),
        ("main", None, True),
        ("main", 5, True),
        ("main", "refs/pull/1/head", True),
    ],
)
@pytest.mark.parametrize("host", ["GitHub", "GitLab"])
def test_a_push_to_another_branch_is_ignored(
    tmp_path: Path, asked: Asked, host: str, followed: str, pushed: Any, syncs: bool
) -> None:
    """The answer is 202 with the reason; if in doubt, the push requests a sync."""
    given = {"MODELSYNC_WEBHOOK_SECRET": SECRET, "MODELSYNC_GIT_REF": followed}
    client = create_app(a_service(tmp_path, asked, env=given)).test_client()
    body = json.dumps({**(GITLAB if host == "GitLab" else GITHUB), "ref": pushed}).encode()
    answer = send(client, body, signed(body, host))
    assert answer.status_code == 202
    assert asked.count == syncs
    if not syncs:
        assert read(answer)["status"] == "ignored"
        assert str(pushed) in read(answer)["reason"]


def test_without_a_supervisor_there_is_nobody_to_sync(tmp_path: Path) -> None:
    """A 503 tells what to run, but only after the token was checked."""
    client = create_app(a_service(tmp_path, None, MODELSYNC_ADMIN_TOKENS="a1")).test_client()
    problem = is_problem(client.post("/models/sync", headers={"Authorization": "Bearer a1"}), 503)
    assert "modelsync serve" in problem["detail"]
    is_problem(client.post("/models/sync"), 401)


def test_the_last_sync_is_told(tmp_path: Path, asked: Asked) -> None:
    """The status tells the wanted and the served commit, the result, and the next sync."""
    service = a_service(
        tmp_path, asked, gitPath="https://git.example/models.git", MODELSYNC_SYNC_CRON="@every 5m"
    )
    status = Status(
        wanted_commit="d" * 40,
        last_result="failed",
        reason="auth",
        message="refused",
        last_attempt="2026",
        next_attempt="2027",
    )
    write_status(tmp_path, status)
    client = create_app(service).test_client()
    told = read(client.get("/models/sync"))
    assert told["wanted"] == "d" * 40
    assert (told["served"], told["in_step"]) == (COMMIT, False)
    assert (told["result"], told["reason"], told["message"], told["time"]) == (
        "failed",
        "auth",
        "refused",
        "2026",
    )
    assert told["next"] == "2027"
    assert told["broken"] == {"Broken": str(FAULT), "Old": str(FAULT)}
