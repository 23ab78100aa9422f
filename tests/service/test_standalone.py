"""The other ways to start: `python app.py`, and a gunicorn of one's own with any of its worker
classes.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from tests.fixtures.git import GitServer
from tests.fixtures.service import answers, serving, write_model
from tests.records import records
from tests.service.faulty import model
from tests.service.following import NO_PROXY, push
from tests.waiting import patient, until

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
WORKER_CLASS = "modelsync.processes.gunicorn_worker.ModelsyncWorker"


@contextmanager
def started(folder: Path, *command: str, **env: str) -> Iterator[str]:
    """Run a command of the project with the models in `folder`; its URL. It must end by SIGTERM
    with exit code 0.
    """
    log = folder / "log"
    clean = {key: value for key, value in os.environ.items() if not key.startswith("MODELSYNC_")}
    settings = {
        "MODELSYNC_HOME": str(folder / "home"),
        "MODELSYNC_MODELS": str(folder / "models"),
        "MODELSYNC_PORT": "0",
        "MODELSYNC_WORKERS": "1",
        **env,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**clean, **settings},
            stdout=output,
            stderr=output,
        )
    try:
        url = until(lambda: _url(process, log), 30, str(log))
        until(
            lambda: _runs(process, log) and requests.get(f"{url}/readyz", timeout=patient(20)).ok,
            30,
            str(log),
        )
        yield url
        process.terminate()
        assert process.wait(patient(40)) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
    return found[0] if _runs(process, log) and found else ""


def _runs(process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(f"it ended with {process.returncode}: {log.read_text()}")
    return True


def gunicorn(worker_class: str, *options: str) -> tuple[str, ...]:
    always = ("--bind", "127.0.0.1:0", "--no-control-socket", "--graceful-timeout", "10")
    return ("-m", "gunicorn", "app:app", "--worker-class", worker_class, *always, *options)


@pytest.mark.parametrize(
    "command",
    [
        ("app.py",),
        gunicorn("sync"),
        gunicorn("gthread", "--threads", "4"),
        gunicorn(WORKER_CLASS),
        gunicorn(WORKER_CLASS, "--preload", "--workers", "2"),
    ],
    ids=["app.py", "sync", "gthread", "dataplane", "dataplane, preloaded"],
)
def test_it_predicts(tmp_path: Path, command: tuple[str, ...]) -> None:
    """One model answers, one that exits does not end the process, one that is broken says why; no
    secret is seen.
    """
    write_model(tmp_path / "models", "Good", answers("here"))
    write_model(tmp_path / "models", "Exits", model("import sys; sys.exit(3)"))
    write_model(tmp_path / "models", "Broken", model(top="import no_such_library"))
    write_model(tmp_path / "models", "Looks", model("import os\nreturn {'value': str(os.environ)}"))
    with started(
        tmp_path,
        *command,
        gitpassword="Zq1",
        MODELSYNC_ADMIN_TOKENS="Zq2",
        MODELSYNC_LOG_FORMAT="text",
    ) as url:

        def post(name: str) -> requests.Response:
            return requests.post(
                f"{url}/models/{name}", json={"variables": {}}, timeout=patient(20)
            )

        assert post("Good").json() == {"value": "here"}
        assert (post("Exits").status_code, post("Exits").json()["error"]) == (500, "SystemExit")
        assert "no_such_library" in post("Broken").json()["detail"]
        assert "Zq" not in post("Looks").text
        assert post("Good").json() == {"value": "here"}
        assert requests.get(f"{url}/models/Good", timeout=patient(20)).json()["state"] == "ready"


def test_a_server_of_ones_own_reads_the_same_file_of_settings(tmp_path: Path) -> None:
    """`.env` in the directory it is started from, as the command does."""
    write_model(tmp_path / "models", "Model", answers(1))
    (tmp_path / ".env").write_text("baseUrl=api\n")
    with started(
        tmp_path, *gunicorn("gthread", "--chdir", str(tmp_path), "--pythonpath", str(ROOT))
    ) as url:
        assert requests.post(
            f"{url}/api/Model", json={"variables": {}}, timeout=patient(20)
        ).json() == {"value": 1}


# --- one release for all workers ------------------------------------------------------------------


def held(home: Path) -> dict[int, str]:
    """By worker of the gunicorn that this test has started, the release that it has loaded."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(OSError):  # it has just ended
            for link in Path(f"/proc/{process.pid}/fd").iterdir():
                if (path := link.readlink()).parent == home / "releases":
                    found[process.pid] = path.name
    return found


def test_all_workers_serve_one_release_for_the_life_of_their_master(tmp_path: Path) -> None:
    """Without --preload: one sync, whatever is pushed and whichever worker dies; a new master
    serves the new commit.
    """
    with GitServer(tmp_path / "repository.git") as server:
        old = push(server, "old")
        command = gunicorn("gthread", "--workers", "2")
        env = {
            "gitPath": server.url,
            "MODELSYNC_GIT_PROTOCOLS": "http",
            "MODELSYNC_LOG_FORMAT": "json",
            **NO_PROXY,
        }

        def answered(url: str) -> set[tuple[str, str]]:
            found = [
                requests.post(f"{url}/models/Model", json={"variables": {}}, timeout=patient(20))
                for _ in range(30)
            ]
            return {
                (answer.json()["value"], answer.headers["X-Modelsync-Release"]) for answer in found
            }

        with started(tmp_path, *command, **env) as url:
            new = push(server, "new")
            for _ in range(2):
                before = until(
                    lambda: found if len(found := held(tmp_path / "home")) == 2 else None, 20
                )
                psutil.Process(killed := min(before)).kill()
                until(lambda: len(now := held(tmp_path / "home")) == 2 and killed not in now, 20)
                assert answered(url) == {("old", old)}
            assert len(records((tmp_path / "log").read_text(), event="sync")) == 1
        with started(tmp_path, *command, **env) as url:
            assert answered(url) == {("new", new)}


def test_a_server_of_ones_own_keeps_out_of_a_service_that_runs(tmp_path: Path) -> None:
    """The second service on a state directory ends and says what to set, either way round."""
    write_model(tmp_path / "models", "Model", answers(1))
    refused = (
        f"another modelsync serves from {tmp_path / 'home'}: stop it, or set another MODELSYNC_HOME"
    )
    with serving(tmp_path, tmp_path / "models") as service:
        before = service.release()
        with (
            pytest.raises(RuntimeError, match=re.escape(refused)),
            started(tmp_path, *gunicorn("gthread")),
        ):
            pass
        assert service.release() == before
    with (
        started(tmp_path, *gunicorn("gthread")),
        pytest.raises(RuntimeError, match=re.escape(refused)),
        serving(tmp_path, tmp_path / "models"),
    ):
        pass
