"""`modelsync rollout --follow` on a stage, and what one sees of it over HTTP."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import requests

from tests.rollout.stage import Run, Stage
from tests.waiting import patient, setting, until

SECRET = "webhook-secret-7"
TOKEN = {"Authorization": "Bearer admin-token-8"}
NEVER = "1h"
"""A time between two polls that no test waits for."""


@dataclass
class Followed:
    """A follower that runs, at `url`."""

    stage: Stage
    run: Run
    url: str

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(f"{self.url}{path}", headers=headers, timeout=patient(30))

    def status(self) -> dict[str, Any]:
        """What `GET /models/sync` tells."""
        answer = self.get("/models/sync")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ask(self, query: str = "", *, wait: int = 0, **headers: str) -> requests.Response:
        """Ask to look for a commit now, as the admin, unless the headers say otherwise."""
        given = {**(headers or TOKEN), **({"Prefer": f"wait={wait}"} if wait else {})}
        return requests.post(f"{self.url}/models/sync{query}", headers=given, timeout=patient(90))

    def webhook(
        self, branch: str = "main", *, secret: str = SECRET, event: str = "push"
    ) -> requests.Response:
        """Tell of a push as GitHub does."""
        pushed = {"ref": f"refs/heads/{branch}", "repository": {"default_branch": "main"}}
        body = json.dumps(pushed).encode()
        digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-Hub-Signature-256": f"sha256={digest}",
        }
        return requests.post(
            f"{self.url}/models/sync", data=body, headers=headers, timeout=patient(30)
        )

    def metric(self, name: str, **labels: str) -> float:
        """A value of `/metrics`; 0 where it is not there."""
        shown = ",".join(f'{key}="{value}"' for key, value in labels.items())
        wanted = re.escape(f"modelsync_{name}{{{shown}}}")
        found = re.search(rf"^{wanted} (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def settled(self, commit: str) -> None:
        """Wait until the commit is ready in all pods, as the follower knows."""
        until(lambda: self.status()["in_step"] and self.status()["served"] == commit, 30)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.run.process.pid).children(recursive=True)

    def stop(self) -> int:
        """End it as Kubernetes does; its exit code."""
        self.run.process.terminate()
        return self.run.process.wait(patient(10))


@contextlib.contextmanager
def following(stage: Stage, env: Mapping[str, str] = {}, **more: str) -> Iterator[Followed]:
    """A follower of the stage's repository, which looks a few times a second."""
    given = {
        "MODELSYNC_PORT": "0",
        "MODELSYNC_ROLLOUT_POLL": "300ms",
        "MODELSYNC_SYNC_TIMEOUT": setting(30),
        "MODELSYNC_ADMIN_TOKENS": TOKEN["Authorization"].removeprefix("Bearer "),
        "MODELSYNC_WEBHOOK_SECRET": SECRET,
    }
    run = stage.start("--follow", **{**given, **env, **more})
    try:
        yield Followed(stage, run, until(lambda: _url(run), 30, str(run.log)))
    finally:
        run.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(patient(10))
        run.process.kill()
        run.process.wait()


def _url(run: Run) -> str | None:
    if run.process.poll() is not None:
        raise RuntimeError(f"it ended with {run.process.returncode}: {run.log.read_text()}")
    match = re.search(r"listening at (http://[\d.]+:\d+)", run.log.read_text())
    return match[1] if match else None
