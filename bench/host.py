"""A git host and its user: a real `git push` over HTTP, then the webhook that the host calls."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.fixtures.git import GitServer
from tests.fixtures.service import Service, serving

SECRET = "bench"
IDENTITY = {
    f"GIT_{role}_{what}": "bench@example.org"
    for role in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
ENVIRON = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0", **IDENTITY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that the host has taken and announced. Moments are of `time.time`, as in the service's
    log.
    """

    commit: str
    started: float
    pushed: float
    told: float


class Host:
    """A repository at a git server, a working copy of its user, and the webhook to a service."""

    def __init__(self, server: GitServer, work: Path) -> None:
        self.url = server.url
        self._work = work
        self._git("init", "-q", "-b", "main")
        self._git("remote", "add", "origin", server.url)

    def commit(self, files: Mapping[str, str | bytes]) -> str:
        """Write files into the working copy and commit them."""
        for name, content in files.items():
            path = self._work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self._git("add", "-A")
        self._git("commit", "-q", "-m", "change")
        return self._git("rev-parse", "HEAD")

    def push(self, service: Service | None = None) -> Pushed:
        """`git push`, then the webhook as GitHub sends it, signed; the service must answer 202."""
        commit = self._git("rev-parse", "HEAD")
        started = time.time()
        self._git("push", "-q", "origin", "main")
        pushed = time.time()
        if service:
            self._call_webhook(service, commit)
        return Pushed(commit, started, pushed, time.time())

    def _call_webhook(self, service: Service, commit: str) -> None:
        event = {
            "ref": "refs/heads/main",
            "after": commit,
            "repository": {"default_branch": "main"},
        }
        body = json.dumps(event).encode()
        signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json", "X-GitHub-Event": "push",
            "X-Hub-Signature-256": f"sha256={signature}",
        }  # fmt: skip
        answer = requests.post(f"{service.base}/sync", data=body, headers=headers, timeout=30)
        assert answer.status_code == 202, answer.text

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self._work), *arguments],
            env=ENVIRON,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@contextlib.contextmanager
def hosted(
    folder: Path, files: Mapping[str, str | bytes], **env: str
) -> Iterator[tuple[Host, Service]]:
    """A host with one commit of `files`, and a service with default settings that follows it and is
    ready.
    """
    work = folder / "work"
    work.mkdir(parents=True)
    with GitServer(folder / "models.git") as server:
        host = Host(server, work)
        host.commit(files)
        host.push()
        given = {
            "gitPath": server.url, "MODELSYNC_GIT_PROTOCOLS": "http",
            "MODELSYNC_WEBHOOK_SECRET": SECRET,
            "MODELSYNC_WORKERS": default_workers(), **env,
        }  # fmt: skip
        with serving(folder, None, ready=True, arguments=(), env=given) as service:
            yield host, service


def default_workers() -> str:
    """The workers that the service has by default; the fixtures of the tests ask for others."""
    return str(os.cpu_count() or 1)


def first_answer(
    service: Service, path: str, commit: str, timeout: float = 60.0
) -> requests.Response:
    """Ask with a new connection each time, without a pause, until `commit` answers."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        answer = service.post(path)
        if answer.headers.get("X-Modelsync-Release") == commit:
            return answer
        time.sleep(0.005)  # the client must not take the core that the update needs
    raise AssertionError(f"{commit} does not answer: see {service.log}")
