"""Folders of every kind beside each other, as one service serves or refuses them; and what no model
may see.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.service import answers, serving, write_model
from tests.service.faulty import Client, model
from tests.waiting import until

TWO = (
    "class First:\n    def transform_predict(self): ...\nclass Second:\n"
    "    def transform_predict(self): ...\n"
)
HELPED = model("return {'value': helper.WHO}", top="import helper")

WORKS = {
    "HelperA": (HELPED, {"helper__py": "WHO = 'A'"}, "A"),
    "HelperB": (HELPED, {"helper__py": "WHO = 'B'"}, "B"),
    "OwnJson": (
        model("return {'value': json.WHO}", top="import json"),
        {"json__py": "WHO = 'json'"},
        "json",
    ),
    "Relative": (
        model("return {'value': WHO}", top="from .helper import WHO"),
        {"helper__py": "WHO = 'R'"},
        "R",
    ),
    "Lazy": (
        model("from helper import WHO\nreturn {'value': WHO}"),
        {"helper__py": "WHO = 'L'"},
        "L",
    ),
    "Opens": (
        model("return {'value': self.text}", init="self.text = open('a.txt').read()"),
        {"a__txt": "O"},
        "O",
    ),
    "ByPath": (model("return {'value': open(self.path + 'a.txt').read()}"), {"a__txt": "P"}, "P"),
    "credit-risk_2": (answers("hyphen", "CreditRisk2"), {}, "hyphen"),
    "Chosen": (TWO + answers("chosen", "Chosen"), {}, "chosen"),
}
REFUSED = {
    "Two": (
        TWO,
        "etls.py:3: several classes have a transform_predict method: First (line 1), Second (line "
        "3)",
    ),
    "None": ("x = 1\n", "no class with a transform_predict method"),
    "Elsewhere": (
        model("return {'value': open('a.txt').read()}"),
        "the working directory is another",
    ),
}
UNNAMEABLE = {
    "all": "is a route of the service itself",
    "Metrics": "is a route of the service itself",
    "9lives": "cannot be a model's name",
    "with space": "cannot be a model's name",
    "Twin": "differs from twin only in case",
    "twin": "differs from Twin only in case",
}

SECRETS = {
    "gitpassword": "pass-Zq1",
    "MODELSYNC_PREDICT_TOKENS": "predict-Zq2",
    "MODELSYNC_TRAIN_TOKENS": "train-Zq3",
    "MODELSYNC_ADMIN_TOKENS": "admin-Zq4,admin-Zq5",
    "MODELSYNC_WEBHOOK_SECRET": "hook-Zq6",
}
LOOK = """
import os, glob
def look():
    own = [open(f'/proc/self/{name}').read() for name in ('environ', 'cmdline')]
    seen = [str(dict(os.environ)), *own]
    for fd in glob.glob('/proc/self/fd/*'):
        try:
            target = os.readlink(fd)
            seen.append(target)
            if 'memfd' in target or target.endswith('(deleted)'):
                seen.append(open(fd, errors='replace').read())
        except OSError:
            pass
    return '\\n'.join(seen)
AT_IMPORT = look()
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("folders")
    models = folder / "models"
    for name, (code, files, _) in WORKS.items():
        write_model(models, name, code, **files)
    for name, (code, _) in REFUSED.items():
        write_model(models, name, code, a__txt="x")
    (models / "Elsewhere" / "examples").mkdir()
    (models / "Elsewhere" / "examples" / "a.json").write_text('{"variables": {}}')
    for name in UNNAMEABLE:
        write_model(models, name, answers(1))
    with serving(folder, models) as service:
        client = Client(service)
        yield client
        assert client.leaks() == []


def test_every_honest_folder_works(client: Client) -> None:
    """Helpers of the same name, a helper called json.py, relative imports, files by path or at
    load, two classes.
    """
    for name, (_, _, value) in WORKS.items():
        assert client.value(name) == value, name
    assert client.get("/models/openapi.json").status_code == 200


def test_what_cannot_be_served_is_listed_with_its_reason(client: Client) -> None:
    """In the answer, in the release and on the page."""
    page = client.get("/models/").text
    for name, (_, reason) in REFUSED.items():
        assert reason in client.problem(name, 503)["detail"]
        assert name in page
    recorded = client.service.release()["models"]
    faults = {
        one["name"]: f"{one['fault']['message']} {one['fault']['hint']}"
        for one in recorded.values()
        if one["fault"]
    }
    for name, reason in UNNAMEABLE.items():
        assert reason in faults[name]
    assert client.post("9lives").status_code == 404
    assert client.post("Twin").status_code == 404
    assert client.post("all").json()["HelperA"] == {"value": "A"}
    assert client.get("/metrics").status_code == 200


def test_the_services_secrets_are_nowhere_a_model_looks(tmp_path: Path) -> None:
    """Environment, /proc, descriptors: in the check, at import and when called. Other variables are
    all there.
    """
    code = LOOK + model(
        "return {'value': look()}",
        init=f"open({str(tmp_path)!r} + f'/seen-{{os.getpid()}}', 'w').write(AT_IMPORT)",
    )
    with GitServer(tmp_path / "repository.git") as server:
        server.user, server.password = "someone", SECRETS["gitpassword"]
        server.push({"Looks/etls.py": code, "Looks/examples/a.json": '{"variables": {}}'})
        git = {"gitPath": server.url, "usergit": "someone", "MODELSYNC_GIT_PROTOCOLS": "http"}
        with serving(tmp_path, env={**SECRETS, **git}, MODEL_SETTING="for-models") as service:
            client = Client(service)
            tokens = {"Authorization": "Bearer predict-Zq2"}
            seen = client.post("Looks", headers=tokens).json()["value"]
            assert client.post("Looks").status_code == 401
            environ = [
                Path(f"/proc/{one.pid}/environ").read_text()
                for one in (*service.masters(), *service.workers())
            ]
            files = list(tmp_path.glob("seen-*"))
            assert len(files) >= 2  # the check, the generation
            for text in (seen, *(file.read_text() for file in files)):
                assert "for-models" in text
            kept = [
                name.read_bytes().decode("latin-1")
                for name in service.home.rglob("*")
                if name.is_file()
            ]
            for text in (
                seen,
                *environ,
                *(file.read_text() for file in files),
                service.log.read_text(),
                *kept,
            ):
                assert [
                    word for words in SECRETS.values() for word in words.split(",") if word in text
                ] == []
            assert "memfd" not in seen


@pytest.mark.parametrize("preload", ["true", "false"])
def test_a_signal_that_a_model_ignores_ends_the_service_all_the_same(
    tmp_path: Path, preload: str
) -> None:
    """Handlers, a non-daemon thread and an exit handler that never end: SIGTERM, exit 0, nothing
    left.
    """
    models = tmp_path / "models"
    stubborn = (
        "import atexit, signal, threading, time\nfor n in (2, 3, 15): signal.signal(n, "
        "signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {2, 3, 15})\natexit.register(time.sleep, 600)\n"
        "threading.Thread(target=time.sleep, args=(600,)).start()"
    )
    write_model(models, "Stubborn", model(top=stubborn))
    with serving(tmp_path, models, MODELSYNC_PRELOAD=preload) as service:
        assert Client(service).value("Stubborn") == 1
        family = [*service.masters(), *service.workers()]
        assert service.stop(30) == 0
        assert not any(one.is_running() for one in family)


def test_a_model_that_ends_each_generation_is_left_out(tmp_path: Path) -> None:
    """It loads in the check, but in the generation it leaves a child and ends the process: its
    previous version serves, and the others are ready.
    """
    models = tmp_path / "models"
    write_model(models, "Model", answers(0))
    leaving = (
        "import os, time\nif 'gunicorn_master' in open('/proc/self/cmdline').read():\n"
        # By another name: a model that names it gets a process of its own at once.
        "    if not vars(os)['fo' + 'rk']():\n        time.sleep(600)\n    os._exit(3)\n"
        + answers(1)
    )
    with serving(tmp_path, models) as service:
        client = Client(service)
        write_model(models, "Model", leaving)
        service.sync()
        until(lambda: service.release()["models"]["Model"]["state"] == "stale", 60)
        until(lambda: client.about("Model")["state"] == "stale")
        assert client.value("Model") == 0
