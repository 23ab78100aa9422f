"""Jobs of a real service, and every way in which one can end."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import cloudpickle
import psutil
import pytest

from modelsync.training import callback
from tests.fixtures.processes import gone, marked
from tests.fixtures.service import Service, answers, serving, write_model
from tests.training.jobs import Jobs
from tests.training.models import ENDINGS, write_models
from tests.training.storing import add, open_store, settings_of
from tests.waiting import until

pytestmark = pytest.mark.training

DATA = {"x": {"a": [1, 2, 3]}, "y": [2, 4, 6]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jobs")
    write_models(folder / "models", "Mean", "Custom", "Waits", *ENDINGS)
    return folder


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    settings = {
        "MODELSYNC_JOB_CONCURRENCY": "2",
        "MODELSYNC_JOB_MEMORY": "2GiB",
        "MODELSYNC_JOB_TIMEOUT": "60s",
        "MODELSYNC_WEBHOOK_SECRET": "of-the-webhook",
        "TEST_FOLDER": str(folder),
    }
    with serving(folder, folder / "models", env=settings, MODELSYNC_WORKERS="1") as service:
        yield service
    gone(service.home)


@pytest.fixture(scope="module")
def jobs(service: Service) -> Jobs:
    return Jobs(service.home)


def error_of(jobs: Jobs, model: str) -> dict[str, Any]:
    job = jobs.ended(jobs.add(model))
    assert job.state == "failed", job
    assert job.error
    return dict(job.error)


def test_a_fit_is_a_version_that_serves(jobs: Jobs, service: Service) -> None:
    """From the row to the disk from which workers take it; what it printed is kept."""
    job = jobs.ended(jobs.add("Mean", DATA, key="monday", params={"scale": 2}))
    assert job.state == "done", job
    assert job.progress == 1.0
    version = jobs.store.catalog.version("Mean", "monday")
    assert (version.number, dict(version.params)) == (job.number, {"scale": 2})
    found = jobs.served("Mean")
    assert found.key == "monday"
    assert found.file.stat().st_size == version.made.size
    assert "fitting with ['scale']" in jobs.log(job)
    assert not (service.home / "jobs" / job.id).exists()


def test_an_exception_is_its_error(jobs: Jobs) -> None:
    """With the stage, the type, the text and the line; no path of this machine."""
    error = error_of(jobs, "Raises")
    assert (error["stage"], error["kind"]) == ("fit", "ValueError")
    assert error["message"] == "no such column: age"
    assert (error["file"], error["line"]) == ("etls.py", 3)
    assert str(jobs.home) not in json.dumps(error)


@pytest.mark.parametrize(("model", "said"), [("Crashes", "SIGSEGV"), ("Exits", "exit code 7")])
def test_a_process_that_ends_itself_has_failed(jobs: Jobs, model: str, said: str) -> None:
    """Its model's code has done that, and would again."""
    error = error_of(jobs, model)
    assert error["stage"] == "crash"
    assert said in f"{error['kind']} {error['message']}"


def test_a_job_that_needs_more_memory_than_it_may_fails(jobs: Jobs) -> None:
    """By the limit of MODELSYNC_JOB_MEMORY, before the machine's memory runs out."""
    assert error_of(jobs, "Eats")["stage"] == "memory"


def test_nothing_that_a_model_starts_outlives_its_job(jobs: Jobs) -> None:
    """Also what has made a session of its own."""
    before = {one.pid for one in marked(jobs.home)}
    job = jobs.ended(jobs.add("Forks"))
    assert job.state == "done", job
    until(lambda: {one.pid for one in marked(jobs.home)} <= before)


def test_what_a_model_prints_is_kept_without_secrets(jobs: Jobs) -> None:
    """All lines, those of libraries too; credentials are hidden."""
    job = jobs.ended(jobs.add("Prints"))
    assert job.state == "done", job
    printed = jobs.log(job)
    assert "p" * 100 in printed
    assert "hunter2" not in printed


def test_the_process_that_fits_is_polite_and_knows_no_secret(jobs: Jobs, service: Service) -> None:
    """Lowest in priority, first to die, a core left to predictions; in the model's folder."""
    job = jobs.ended(jobs.add("Sees"))
    assert job.state == "done", job
    seen = cloudpickle.loads(jobs.served("Sees").file.read_bytes())
    assert seen["nice"] >= 10
    own = int(Path(f"/proc/{service.process.pid}/oom_score_adj").read_text())
    assert seen["oom"] >= min(1000, own + 600)
    cores = psutil.cpu_count() or 1
    for name in ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        assert seen["environ"][name] == str(max(1, cores - 1))
    assert "of-the-webhook" not in json.dumps(seen["environ"])
    assert seen["cwd"] == ["etls.py"]


def test_a_job_can_be_cancelled(jobs: Jobs, folder: Path) -> None:
    """One that waits at once; one that runs within seconds, although it is deaf to SIGTERM."""
    runs = jobs.add("Hangs")
    jobs.fitting(runs)
    waits = jobs.add("Hangs")
    assert jobs.store.catalog.cancel("Hangs", waits.id).state == "cancelled"
    jobs.store.catalog.cancel("Hangs", runs.id)
    assert jobs.ended(runs).state == "cancelled"
    assert not jobs.store.catalog.model("Hangs").versions


def test_predictions_and_pushes_go_on_while_a_job_runs(
    jobs: Jobs, service: Service, folder: Path
) -> None:
    """A new generation touches no job."""
    job = jobs.add("Waits")
    pid = jobs.fitting(job).pid
    write_model(folder / "models", "New", answers(1, "New"))
    service.sync()
    until(lambda: service.post("New").json() == {"value": 1})
    assert jobs.fitting(job).pid == pid
    (folder / "go").touch()
    found = jobs.ended(job)
    assert (found.state, found.attempts) == ("done", 1)
    (folder / "go").unlink()


def test_a_class_of_the_folder_is_stored_with_the_modules_that_it_uses(jobs: Jobs) -> None:
    """Those that a process which runs models protects, too: they are of a class of their own."""
    assert jobs.ended(jobs.add("Custom", DATA)).state == "done"


class _Receiver(BaseHTTPRequestHandler):
    """Fails once, then accepts."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.headers, body))  # type: ignore[attr-defined]
        self.send_response(503 if len(self.server.received) == 1 else 204)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_webhook_gets_the_job_when_it_has_ended(jobs: Jobs) -> None:
    """Signed as GitHub signs; tried again where the receiver is busy."""
    import hmac

    with HTTPServer(("127.0.0.1", 0), _Receiver) as receiver:
        receiver.received = []  # type: ignore[attr-defined]
        thread = Thread(target=receiver.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{receiver.server_port}/job"
        job = jobs.add("Mean", DATA, key="hooked", webhook=url)
        until(lambda: len(receiver.received) == 2)  # type: ignore[attr-defined]
        receiver.shutdown()
        thread.join()
    headers, body = receiver.received[1]  # type: ignore[attr-defined]
    found = json.loads(body)
    assert found["done"]
    assert found["name"].endswith(job.id)
    assert found["response"]["version"] == job.number
    digest = hmac.digest(b"of-the-webhook", body, "sha256").hex()
    assert headers["X-Hub-Signature-256"] == f"sha256={digest}"
    assert headers["X-Modelsync-Delivery"] == job.id


class _Trickle(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        with suppress(OSError):
            while True:
                self.wfile.write(b"HTTP/1.1 ")  # never a whole line
                time.sleep(0.02)

    def log_message(self, *_: object) -> None:
        pass


def test_a_receiver_that_trickles_is_given_up(
    jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client waits anew for each byte; the process of the job must end though."""
    monkeypatch.setattr(callback, "TIMEOUT", 0.1)
    monkeypatch.setattr(callback, "TRIES", 1)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Trickle) as receiver:
        receiver.daemon_threads, receiver.block_on_close = True, False
        Thread(target=receiver.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{receiver.server_port}/job"
        job = add(open_store(tmp_path), webhook=url)
        assert not callback.deliver(jobs.store.catalog, job, settings_of(tmp_path))
        receiver.shutdown()


def test_the_log_of_the_service_says_how_each_job_ended(jobs: Jobs, service: Service) -> None:
    """Where it began, where it ended, and why; one record each."""
    error_of(jobs, "Raises")
    [*_, record] = service.lines(event="job", model="Raises", state="failed")
    assert record["stage"] == "fit"
    assert re.search("no such column", str(record["reason"]))
