"""`modelsync serve` as the person who starts it sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.command import modelsync
from tests.fixtures.curl import curl
from tests.fixtures.service import answers, serving, write_example, write_model
from tests.waiting import until

ROOT = Path(__file__).parents[2]


def test_watching_a_repository_is_refused(tmp_path: Path) -> None:
    """`--watch` is for a local folder; with gitPath it would never see anything."""
    done = modelsync("serve", "--watch", cwd=tmp_path, gitPath="https://host.example/models.git")
    assert done.returncode == 2
    assert "--watch follows a local folder" in done.stderr


def test_serve_says_where_it_is_and_what_to_try(tmp_path: Path) -> None:
    """The first release is announced with its URLs, what is broken, and a curl line that works as
    it is printed.
    """
    models = tmp_path / "models_serve"
    folder = write_model(
        models, "Echo", "class Echo:\n    def transform_predict(self, v: dict):\n        return v\n"
    )
    (folder / "examples").mkdir()
    (folder / "examples" / "one.json").write_text('{"variables": {"quote": "it\'s"}}')
    write_model(models, "Broken", "class Broken:\n    def (\n")
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        told = until(
            lambda: text if "curl " in (text := service.log.read_text()) else None,
            message="a line to try",
        )
        assert f"POST {service.url}/models/Echo" in told
        assert f"POST {service.url}/models/Broken  failed: etls.py:2" in told
        line = next(line for line in told.splitlines() if line.strip().startswith("curl "))
        assert json.loads(curl(line)) == {"quote": "it's"}
        called = modelsync("call", "Echo", "a=1", cwd=tmp_path, MODELSYNC_PORT=str(service.port))
        assert (called.returncode, called.stdout) == (0, '{"a":1}\n')


def test_without_an_example_the_usage_is_there_to_try(tmp_path: Path) -> None:
    """What models take that have no example is told by the service; the line says where a token
    goes.
    """
    models = tmp_path / "models_serve"
    write_model(models, "Model", answers(1))
    with serving(
        tmp_path, models, MODELSYNC_WORKERS="1", MODELSYNC_PREDICT_TOKENS="t0ken"
    ) as service:
        told = until(
            lambda: text if "curl " in (text := service.log.read_text()) else None,
            message="a line to try",
        )
        line = next(line for line in told.splitlines() if line.strip().startswith("curl "))
        assert line.strip() == f'curl {service.url}/models/usage -H "Authorization: Bearer $TOKEN"'
        assert "/models/Model -H 'Content-Type" in curl(line.replace("$TOKEN", "t0ken"))
        assert "t0ken" not in told
    write_example(models / "Model", {})
    (again := tmp_path / "again").mkdir()
    with serving(again, models, MODELSYNC_WORKERS="1", MODELSYNC_PREDICT_TOKENS="t0ken") as service:
        told = until(
            lambda: text if "curl " in (text := service.log.read_text()) else None,
            message="a line to try",
        )
        line = next(line for line in told.splitlines() if line.strip().startswith("curl "))
        assert json.loads(curl(line.replace("$TOKEN", "t0ken"))) == {"value": 1}


def test_app_py_is_modelsync_serve(tmp_path: Path) -> None:
    """With its options, too."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    assert done.stdout == modelsync("serve", "--help", cwd=tmp_path).stdout


def test_a_release_without_a_model_that_loads_is_not_announced_as_served(tmp_path: Path) -> None:
    models = tmp_path / "models_serve"
    write_model(models, "Broken", "class Broken:\n    def (\n")
    with serving(tmp_path, models, MODELSYNC_WORKERS="1", ready=False) as service:
        told = until(
            lambda: text if "curl " in (text := service.log.read_text()) else None,
            message="the announcement",
        )
        assert f"modelsync is at {service.url}/models/ and not ready: no model of " in told
        assert "modelsync serves" not in told
        assert service.get("/readyz").status_code == 503
