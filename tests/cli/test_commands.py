"""The command line as a user and a program meet it: output, exit codes, one line an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import modelsync
from tests.fixtures.curl import curl
from tests.fixtures.service import answers, serving, write_example, write_model
from tests.waiting import patient, until

ROOT = Path(__file__).parents[2]


# --- errors and settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["call"], "Missing argument 'MODEL'"),
        (["call", "Iris", "oops"], "'oops' is not NAME=VALUE"),
        (["call", "Iris", "a=1", "a.b=2"], "a has a value already"),
        (["call", "Iris", "--variables", "[1]"], "must be a JSON object"),
        (["call", "Iris", "--variables", "{"], "not JSON"),
        (["call", "Iris", "--variables", "@missing.json"], "cannot read missing.json"),
        (["call", "Iris", "--token-file", "missing"], "cannot read missing"),
        (["call", "Iris", "--url", "ftp://nonsense"], "--url"),
        (["check", "missing"], "does not exist"),
        (["generate", "missing"], "does not exist"),
        (["check", "--format", "xml", "."], "'xml' is not one of 'table', 'json'"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments: list[str], says: str, tmp_path: Path) -> None:
    """What was not asked properly ends with 2 and one line that says what is wrong and where to
    read on.
    """
    done = modelsync(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("modelsync: ")


@pytest.mark.parametrize(
    "command", [["serve"], ["sync"], ["check"], ["generate"], ["call", "Iris"]]
)
def test_bad_settings_end_with_2(command: list[str], tmp_path: Path) -> None:
    """A misspelt or malformed setting stops every command that reads them, naming all that is wrong
    at once.
    """
    done = modelsync(*command, cwd=tmp_path, MODELSYNC_WORKER="1", MODELSYNC_PORT="http")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "MODELSYNC_WORKER is not a setting (did you mean MODELSYNC_WORKERS?)" in done.stderr
    assert "MODELSYNC_PORT must be a whole number" in done.stderr


def test_watching_a_repository_is_refused(tmp_path: Path) -> None:
    """`--watch` is for a local folder; with gitPath it would never see anything."""
    done = modelsync("serve", "--watch", cwd=tmp_path, gitPath="https://host.example/models.git")
    assert done.returncode == 2
    assert "--watch follows a local folder" in done.stderr


def test_dotenv_is_read_and_the_environment_wins(tmp_path: Path) -> None:
    """`.env` in the current directory gives settings, as they stand; what the environment sets goes
    before.
    """
    (tmp_path / ".env").write_text(
        "MODELSYNC_PORT=nine\nMODELSYNC_WORKERS=none\ngitpassword=a${HOME}b\n"
    )
    done = modelsync("generate", cwd=tmp_path, MODELSYNC_WORKERS="2")
    assert done.returncode == 2
    assert "MODELSYNC_PORT must be a whole number" in done.stderr
    assert "WORKERS" not in done.stderr


def test_version_tells_what_a_bug_report_needs(tmp_path: Path) -> None:
    """`version` names modelsync, Python and the server; `--version` is short."""
    done = modelsync("version", cwd=tmp_path)
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("modelsync 0.", "Python 3.", "gunicorn"))
    assert modelsync("--version", cwd=tmp_path).stdout.startswith("modelsync 0.")


def test_help_lists_every_command(tmp_path: Path) -> None:
    """The help is short and names all verbs."""
    done = modelsync("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(
        f"\n  {verb} " in done.stdout
        for verb in ["serve", "sync", "check", "generate", "new", "call", "version"]
    )


@pytest.mark.parametrize(
    "verb", ["", "serve", "sync", "check", "generate", "new", "call", "rollout", "version"]
)
def test_help_is_for_reading(verb: str, tmp_path: Path) -> None:
    """No mark-up is left in a help text, and each example stands on a line of its own."""
    done = modelsync(*filter(None, [verb]), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "\\" not in done.stdout
    assert "\b" not in done.stdout
    assert all(
        line.startswith(("Usage: ", "    "))
        for line in done.stdout.splitlines()
        if "modelsync " in line
    )
    if example := {"": "new Price ", "call": "call Exchange amount=100 source=USD\n"}.get(verb):
        assert f"\n    modelsync {example}" in done.stdout


# --- serve, sync ----------------------------------------------------------------------------------


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
        timeout=patient(60),
    )
    assert done.returncode == 0
    assert done.stdout == modelsync("serve", "--help", cwd=tmp_path).stdout


def test_sync_publishes_and_tells_the_running_service(tmp_path: Path) -> None:
    """`modelsync sync` publishes what changed, says so, and a service that runs from the same state
    swaps to it.
    """
    models = tmp_path / "models_serve"
    write_model(models, "Model", answers(1))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        assert service.post("Model").json() == {"value": 1}
        write_model(models, "Model", answers(2))
        done = modelsync(
            "sync", cwd=tmp_path, MODELSYNC_HOME=str(service.home), MODELSYNC_MODELS=str(models)
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("published: ")
        assert "1 models, 0 broken" in done.stdout
        until(lambda: service.post("Model").json() == {"value": 2})
    again = modelsync(
        "sync", cwd=tmp_path, MODELSYNC_HOME=str(service.home), MODELSYNC_MODELS=str(models)
    )
    assert (again.returncode, again.stdout.split(":")[0]) == (0, "unchanged")
    assert "was told" not in again.stdout


def test_a_failed_sync_ends_with_1(tmp_path: Path) -> None:
    """Where a sync fails, the exit code is 1 and the reason is told in one line, after what the log
    says.
    """
    done = modelsync("sync", cwd=tmp_path, MODELSYNC_MODELS="nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("modelsync: there is no folder nowhere/")
