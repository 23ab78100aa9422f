"""A repository, a cluster, and `modelsync rollout` run on both as the CronJob runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fixtures.git import GitServer
from tests.fixtures.kubernetes import ApiServer
from tests.records import Record, records
from tests.service.following import NO_PROXY, push
from tests.waiting import patient, setting

BROKEN = (
    "class Model:\n    def transform_predict(self):\n        return {}\n\n"
    "raise RuntimeError('no licence')\n"
)


@dataclass
class Run:
    """One run of the command. `code` once it has ended."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def code(self) -> int:
        return self.process.wait(patient(90))

    def lines(self, **fields: Any) -> list[Record]:
        """The log records that have these fields."""
        return records(self.log.read_text(), **fields)


@dataclass
class Stage:
    """A repository, a cluster, and how to run the command on both."""

    git: GitServer
    api: ApiServer
    folder: Path

    def start(self, *arguments: str, **env: str) -> Run:
        number = len(list(self.folder.glob("*.log")))
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MODELSYNC_", "KUBE"))
        }
        given = {
            "KUBECONFIG": str(self.api.kubeconfig),
            "gitPath": self.git.url,
            "MODELSYNC_GIT_PROTOCOLS": "http",
            "MODELSYNC_ROLLOUT_DEPLOYMENT": "modelsync",
            "MODELSYNC_ROLLOUT_TIMEOUT": setting(30),
            "MODELSYNC_HOME": str(self.folder / f"home-{number}"),
            "MODELSYNC_LOG_FORMAT": "json",
            **NO_PROXY,
        }
        log = self.folder / f"{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "modelsync", "rollout", *arguments], cwd=self.folder,
                env={**clean, **given, **env},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        return Run(process, log)

    def run(self, *arguments: str, **env: str) -> Run:
        run = self.start(*arguments, **env)
        run.process.wait(patient(90))
        return run

    def rolled_out(self, value: object = 0) -> str:
        """A commit that is pinned and ready everywhere; its hash."""
        commit = push(self.git, value)
        self.api.pin_by_hand(commit)
        self.api.state["data"] = {"revision": commit, "good": commit}
        return commit
