"""The set of docker-compose.yml as real processes: PostgreSQL, an S3 server, Airflow, modelsync,
and nginx in front.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import requests

from scripts import airflow, s3_server
from scripts.compose_native.definition import ROOT
from scripts.compose_native.programs import CannotRun, nginx_program, postgres_programs
from tests.compose.native import Native, composed
from tests.waiting import patient, until

PASSENGER = {"class": 1, "sex": "female", "age": 38.0, "embarked": "C"}


def missing() -> str:
    """What is not on this machine; empty if all is."""
    try:
        postgres_programs()
        nginx_program()
    except CannotRun as error:
        return str(error)
    if not s3_server.cached().exists():
        return "the S3 server is not here: make s3-server"
    return "" if airflow.python() else "Airflow is not here: make airflow"


pytestmark = [
    pytest.mark.compose,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Not below pytest's folder: root's PostgreSQL runs as another user, who cannot enter there."""
    with tempfile.TemporaryDirectory(prefix="modelsync-compose-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def models(folder: Path) -> Path:
    shutil.copytree(ROOT / "models_serve" / "Titanic", folder / "models" / "Titanic")
    return folder / "models"


@pytest.fixture(scope="module")
def native(folder: Path, models: Path) -> Iterator[Native]:
    with composed(folder / "set", models) as found:
        yield found


class Client:
    """Asks for a prediction again and again, until it is told to stop."""

    def __init__(self, native: Native) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self._url, self._stop = f"{native.url}/models/Titanic", threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with requests.Session() as session:
            while not self._stop.wait(0.02):
                answer = session.post(self._url, json={"variables": PASSENGER}, timeout=patient(30))
                self.answers.append((answer.status_code, answer.content))

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(patient(60))

    def more(self, number: int = 20) -> None:
        """Wait until it has asked some more times."""
        wanted = len(self.answers) + number
        until(lambda: len(self.answers) >= wanted, 30, "the client goes on")


def test_nginx_is_in_front(native: Native) -> None:
    """modelsync, Airflow, and nginx itself answer through nginx."""
    assert native.get("/readyz").status_code == 200
    assert native.get("/livez/nginx").status_code == 204
    health = requests.get(f"{native.airflow_url}/api/v2/monitor/health", timeout=patient(60)).json()
    assert health["metadatabase"]["status"] == "healthy"
    answer = native.get("/models/Nobody")
    assert (answer.status_code, answer.headers["Server"]) == (404, "nginx")


def test_a_fit_is_in_postgres_and_on_s3(native: Native) -> None:
    """A fit that was asked for through nginx ends as a row and as an object, which serves."""
    answer = native.put("/models/Titanic", headers={"Prefer": "wait=100"})
    assert answer.status_code == 200, answer.text
    assert "response" in answer.json(), answer.text
    made = answer.json()["response"]
    assert (made["version"], made["rows"]) == (1, 732)  # of 891, of which the others are held out

    with psycopg.connect(
        native.secret("modelsync/database_url").replace(
            "@postgres:5432", f"@127.0.0.1:{native.processes['postgres']['ports'][0]}"
        )
    ) as connection:
        [row] = connection.execute("SELECT model, number FROM modelsync_versions").fetchall()
    assert row == ("Titanic", 1)

    objects = [
        path for path in (native.folder / "minio" / "modelsync").rglob("*") if path.is_file()
    ]
    assert made["sha256"] in [hashlib.sha256(path.read_bytes()).hexdigest() for path in objects]
    until(lambda: predicted(native), 20, "version 1 serves")


def contains(file: Path, text: str) -> bool:
    return text in file.read_text("utf-8")


def predicted(native: Native) -> bool:
    answer = requests.post(
        f"{native.url}/models/Titanic", json={"variables": PASSENGER}, timeout=patient(60)
    )
    return answer.status_code == 200 and answer.json()["survived"] is True


def test_training_wants_its_token(native: Native) -> None:
    """Without the token that was made at the first start nobody may train."""
    assert requests.put(f"{native.url}/models/Titanic", timeout=patient(60)).status_code == 401


def test_no_process_shows_a_secret(native: Native) -> None:
    """No secret stands in a list of processes or in a log."""
    secrets = [
        path.read_text("utf-8")
        for path in (native.folder / "secrets").rglob("*")
        if path.is_file() and not path.name.endswith((".json", "_url"))
    ]
    assert len(secrets) == 15
    shown = []
    for one in native.tree():
        with contextlib.suppress(psutil.NoSuchProcess):  # or a zombie
            shown.append(" ".join(one.cmdline()))
    shown += [path.read_text("utf-8", "replace") for path in (native.folder / "logs").iterdir()]
    shown.append(native.output.read_text("utf-8"))
    assert len(shown) > 15
    assert [text[:200] for text in shown if any(secret in text for secret in secrets)] == []


def test_airflow_has_a_dag_of_the_model(native: Native) -> None:
    """With the password of the first start Airflow's REST shows the DAG of Titanic."""
    login = {"username": "admin", "password": native.secret("airflow/password")}
    answer = requests.post(f"{native.airflow_url}/auth/token", json=login, timeout=patient(60))
    assert answer.status_code == 201, answer.text
    token = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def dags() -> list[str]:
        answer = requests.get(
            f"{native.airflow_url}/api/v2/dags", headers=token, timeout=patient(60)
        )
        return [dag["dag_id"] for dag in answer.json()["dags"]]

    assert any("Titanic" in name for name in until(dags, 90, "there is a DAG"))


def test_predictions_go_on_without_the_others(native: Native) -> None:
    """Airflow, the S3 server and PostgreSQL are killed one after the other: no prediction fails,
    and a fit is refused with the reason.
    """
    until(lambda: predicted(native), 20, "version 1 serves")
    processes = native.processes
    with Client(native) as client:
        for name in ("airflow", "minio", "postgres"):
            one = psutil.Process(processes[name]["pid"])
            for process in (one, *one.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            told = f"{name}: ended with"
            until(functools.partial(contains, native.output, told), 30, told)
            client.more()
        answer = native.put("/models/Titanic")
        assert answer.status_code == 503
        assert "Retry-After" in answer.headers
        client.more()
    assert {code for code, _ in client.answers} == {200}
    assert len({body for _, body in client.answers}) == 1


def test_the_set_starts_again_with_what_it_had(native: Native, models: Path) -> None:
    """After kill -9 the next start ends what was left, has the same secrets, and the version
    serves.
    """
    token, before = native.secret("modelsync/train_tokens"), native.tree()
    native.process.kill()
    native.process.wait(patient(30))
    with composed(native.folder, models, AIRFLOW_REPLICAS="0") as again:
        assert not [one for one in before if one.is_running() and one.status() != "zombie"]
        assert again.secret("modelsync/train_tokens") == token
        assert set(again.processes) == {"postgres", "minio", "modelsync", "nginx"}
        until(lambda: predicted(again), 20, "version 1 serves")


def test_a_program_that_is_missing_is_named(
    folder: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the S3 server the command says how to get it, and leaves nothing running."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "empty"))
    told = pytest.raises(AssertionError, match="the S3 server is not here: make s3-server")
    with told, composed(folder / "incomplete", models, AIRFLOW_REPLICAS="0"):
        pass
