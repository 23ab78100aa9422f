"""A real service that follows a real git server, and what somebody sees who looks at both."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.fixtures.git import Files, GitServer, Repository
from tests.fixtures.service import Service, answers, serving
from tests.fixtures.ssh import SshGitServer
from tests.waiting import patient, setting, until

SECRET = "webhook-secret-5"
ADMIN = {"Authorization": "Bearer admin-token-6"}
NO_PROXY = dict.fromkeys(
    ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), ""
)


@contextlib.contextmanager
def following(
    folder: Path,
    server: GitServer | SshGitServer,
    *,
    ready: bool = True,
    home: Path | None = None,
    env: Mapping[str, str] = {},
    **more: str,
) -> Iterator[Service]:
    """A service that follows `server`, with webhooks and an admin token; it syncs when it is asked
    to.
    """
    given = {
        "gitPath": server.url,
        "MODELSYNC_GIT_PROTOCOLS": "http,https,ssh",
        "MODELSYNC_WEBHOOK_SECRET": SECRET,
        "MODELSYNC_ADMIN_TOKENS": "admin-token-6",
        "MODELSYNC_SYNC_TIMEOUT": setting(30),
        **({"MODELSYNC_HOME": str(home)} if home else {}),
        **NO_PROXY,
    }
    with serving(folder, ready=ready, env={**given, **env, **more}) as service:
        service.home = home or service.home
        yield service


def push(server: Repository, value: object, more: Files | None = None, **options: Any) -> str:
    """Push a commit in which `Model` answers with `value`; its hash."""
    return server.push({"Model/etls.py": answers(value), **(more or {})}, **options)


def webhook(service: Service, host: str = "GitHub", branch: str = "main") -> requests.Response:
    """Tell of a push as a git host does."""
    body = json.dumps(
        {"ref": f"refs/heads/{branch}", "repository": {"default_branch": "main"}}
    ).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    headers = {
        "GitHub": {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={digest}"},
        "Gitea": {"X-Gitea-Event": "push", "X-Gitea-Signature": digest},
        "GitLab": {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": SECRET},
    }[host]
    return requests.post(
        f"{service.base}/sync",
        data=body,
        headers={"Content-Type": "application/json", **headers},
        timeout=patient(60),
    )


def told(service: Service) -> dict[str, Any]:
    """What `GET /models/sync` tells."""
    found: dict[str, Any] = service.get("/models/sync", headers=ADMIN).json()
    return found


def metric(service: Service, name: str, **labels: str) -> float:
    """A value of `/metrics`; 0 where it is not there."""
    shown = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    wanted = f"modelsync_{name}{{{shown}}}" if labels else f"modelsync_{name}"
    found = re.search(rf"^{re.escape(wanted)} (\S+)$", service.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def answered_by(service: Service, commit: str, value: object, timeout: float = 30) -> None:
    """Wait until `Model` answers with the value, under the commit's name."""

    def answered() -> bool:
        answer = service.post("Model")
        return answer.json() == {"value": value} and answer.headers["X-Modelsync-Release"] == commit

    until(answered, timeout, f"the answer {value!r} of {commit}; see {service.log}")


def workers(service: Service) -> set[int]:
    """The process ids of all workers; a master that ends meanwhile has none."""
    found = set()
    for master in service.masters():
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {worker.pid for worker in master.children()}
    return found


def settled(service: Service) -> set[int]:
    """The workers' process ids, once only one generation is left."""
    service.swapped()
    return until(lambda: found if len(found := workers(service)) == 2 else None, 20)


def synced(service: Service, number: int) -> list[dict[str, Any]]:
    """The records of all syncs, once there are more than `number`."""
    return until(
        lambda: lines if len(lines := service.lines(event="sync")) > number else None,
        40,
        str(service.log),
    )


def sync(service: Service) -> dict[str, Any]:
    """Ask for one sync by SIGHUP and return the record of how it went."""
    number = len(service.lines(event="sync"))
    service.sync()
    return synced(service, number)[number]


def strangers(service: Service) -> list[str]:
    """The processes that work in the state directory and are no part of serving: updates, git, ssh,
    checks.
    """
    family = {service.process.pid, *(one.pid for one in service.masters()), *workers(service)}
    home = str(service.home).encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environ, command = (folder / "environ").read_bytes(), (folder / "cmdline").read_bytes()
            if home in environ and command and int(folder.name) not in family:
                found.append(command.replace(b"\0", b" ").decode("utf-8", "replace"))
    return found


def alone(service: Service) -> None:
    """Wait until nothing but what serves is left."""
    until(lambda: not strangers(service), 15, "no update, git, ssh or check process is left")


def litter(service: Service) -> list[str]:
    """What lies in the state directory and does not belong there, nor is just being written."""
    with contextlib.suppress(AssertionError):
        until(lambda: not _strange(service), 2)
    return _strange(service)


def _strange(service: Service) -> list[str]:
    known = {"repo.git", "releases", "current", "status.json", "labels.json", "lock", "run"}
    found = [item.name for item in service.home.iterdir() if item.name not in known]
    found += [
        item.name
        for item in (service.home / "releases").iterdir()
        if not re.fullmatch(r"[0-9a-f]{40}(\.\d+)?", item.name)
    ]
    found += [
        str(item)
        for item in (service.home / "repo.git").rglob("*")
        if item.name.endswith(".lock") or "tmp_" in item.name
    ]
    known_run = re.compile(r"supervisor\.pid|metrics|\d+\.counters|retired\.json")
    found += [
        str(item)
        for item in (service.home / "run").rglob("*")
        if not known_run.fullmatch(item.name)
    ]
    return found


@dataclass(frozen=True)
class LastGood:
    """What has to go on as it is, whatever happens to the remote."""

    commit: str
    value: object
    pids: set[int]

    @classmethod
    def of(cls, service: Service) -> LastGood:
        pids = settled(service)  # first: an old generation answers, too, until it has been told
        answer = service.post("Model")
        return cls(answer.headers["X-Modelsync-Release"], answer.json()["value"], pids)

    def goes_on(self, service: Service) -> None:
        """The same processes answer with the same release, and the service is ready."""
        for _ in range(4):
            answer = service.post("Model")
            assert (answer.status_code, answer.json()) == (200, {"value": self.value})
            assert answer.headers["X-Modelsync-Release"] == self.commit
        assert service.get("/readyz").status_code == 200
        assert workers(service) == self.pids


def update_of(service: Service) -> psutil.Process | None:
    """The update that runs now."""
    for child in psutil.Process(service.process.pid).children():
        with contextlib.suppress(psutil.Error):
            if "modelsync.sync.update" in child.cmdline():
                return child
    return None
