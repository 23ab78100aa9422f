"""README.md: what it shows is what happens. Each command is run; shown output is compared, but for
times and hashes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelsync import errors
from tests.fixtures.curl import curl
from tests.fixtures.pages import Shown, comparable, matches, patiently, shown
from tests.fixtures.service import Service, serving
from tests.waiting import patient, until

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
URL = "http://127.0.0.1:8080"

ELSEWHERE = {
    "./run.sh": "tests/test_repository.py; its output: test_commands_do_what_is_shown",
    "gitPath=https://github.com/you/models.git ./run.sh": "tests/service/",
    "make image": "tests/image/",
    "docker run -p 8080:8080 -v state:/var/lib/modelsync -e "
    "gitPath=https://github.com/you/models.git modelsync": ("tests/image/"),
}
"""Commands that are not run here, and what tests them instead."""


COMMANDS = [one for one in shown(README) if isinstance(one, Shown)]
FOLLOWING = ("A push was refused", "Syncing on each push: webhooks")


def run(command: str, folder: Path, service: Service) -> str:
    """What a command of the README prints, in a folder and about a service of this test."""
    command = patiently(command.replace(URL, service.url))
    if command.startswith("curl "):
        command, *formatted = command.split(" | python3 -m json.tool")
        answer = curl(command)
        return json.dumps(json.loads(answer), indent=4) if formatted else answer
    words = shlex.split(command)
    assert words[0] in {"modelsync", ".venv/bin/modelsync"}, f"not run by this test: {command}"
    return subprocess.run(
        [sys.executable, "-m", "modelsync", *words[1:]],
        cwd=folder, env=clean_environment(MODELSYNC_PORT=str(service.port)), text=True,
        timeout=patient(100),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ).stdout  # fmt: skip


def clean_environment(**settings: str) -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if not name.startswith("MODELSYNC_")
    } | settings


def git(folder: Path, *arguments: str) -> None:
    who = [
        "-c",
        "user.name=You",
        "-c",
        "user.email=you@example.org",
        "-c",
        "init.defaultBranch=main",
    ]
    subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, timeout=patient(60)
    )


Run = Callable[[str], str]


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[tuple[Run, Service]]:
    """The service that `./run.sh` starts, for a copy of the examples."""
    models = shutil.copytree(ROOT / "models_serve", tmp_path / "models_serve")
    settings = {"MODELSYNC_WORKERS": "1", "MODELSYNC_TRAIN_TOKENS": "change-me"}
    with serving(tmp_path, models, env=settings) as service:
        yield lambda command: run(command, tmp_path, service), service


@pytest.fixture
def following(tmp_path: Path) -> Iterator[tuple[Run, Service]]:
    """The service after the push that the README tells of: Churn imports what is not installed."""
    repository = shutil.copytree(ROOT / "models_serve", tmp_path / "models")
    git(repository, "init")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "models")
    settings = {
        "gitPath": repository.as_uri(),
        "MODELSYNC_GIT_PROTOCOLS": "file",
        "MODELSYNC_ADMIN_TOKENS": "<admin token>",
        "MODELSYNC_SYNC_CRON": "0 2 * * *",
        "MODELSYNC_WORKERS": "1",
        "TZ": "UTC",
    }
    with serving(tmp_path, env=settings) as service:
        etls = repository / "Churn" / "etls.py"
        etls.write_text(
            etls.read_text().replace("import joblib\n", "import joblib\nimport prophet\n")
        )
        git(repository, "commit", "-a", "-m", "use prophet")
        service.sync()
        until(
            lambda: service.get("/models/sync").json()["broken"],
            60,
            message="the broken push is told",
        )
        yield lambda command: run(command, repository, service), service


def test_commands_do_what_is_shown(standalone: tuple[Run, Service]) -> None:
    """Every command gives the output below it, with the examples served; ./run.sh prints what is
    shown.
    """
    do, service = standalone
    for one in COMMANDS:
        if one.section not in FOLLOWING and one.command not in ELSEWHERE:
            found = comparable(do(one.command))
            assert matches(comparable(one.output), found), (one.command, found)
    output = next(one.output for one in COMMANDS if one.command == "./run.sh")
    expected = comparable(output.removeprefix("...").replace(URL, service.url))
    until(lambda: expected in comparable(service.log.read_text()), 10, message=expected)


def test_operations_go_as_told(following: tuple[Run, Service]) -> None:
    """After a push that breaks a model the commands, the log and the metrics tell what the README
    says.
    """
    do, service = following
    for one in COMMANDS:
        if one.section in FOLLOWING:
            assert comparable(do(one.command)) == comparable(one.output), one.command
    refused = README.partition("### A push was refused")[2]
    line = re.findall(r'^\{"time".*"event":"model_broken".*\}$', refused, re.MULTILINE)[0]
    assert comparable(line) in comparable(service.log.read_text())
    service.post("Iris")
    exported = service.get("/metrics").text
    alerts = README.partition("### What to watch")[2].partition("\n## ")[0]
    named = set(re.findall(r"modelsync_[a-z_]+(?=[{\[ )])", alerts))
    assert len(named) >= 7
    for name in (
        named
    ):  # an alert on a metric that nobody exports never fires; one of failures has no value before
        assert re.search(rf"^(# TYPE )?{name}[{{ ]", exported, re.MULTILINE), name


def test_every_reason_has_advice() -> None:
    """Each reason that a sync can fail for stands in the table of what to do."""
    reasons = {kind.reason for kind in _below(errors.SyncError)}
    assert len(reasons) > 5
    for reason in reasons:
        assert re.search(rf"^\| .*`{reason}`.* \|", README, re.MULTILINE), reason


def _below(kind: type[errors.SyncError]) -> Iterator[type[errors.SyncError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _below(below)


def test_every_link_leads_somewhere() -> None:
    """Files that the README names exist."""
    names = re.findall(r"\]\(([^):#]+)\)", README)
    assert names
    for name in names:
        assert (ROOT / name).exists(), name
