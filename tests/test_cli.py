"""The command line as a user and a program meet it: output, exit codes, one line an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import modelsync
from tests.servers.curl import curl
from tests.servers.service import answers, serving, write_example, write_model
from tests.waiting import until

ROOT = Path(__file__).parents[1]


# --- errors and settings ----------------------------------------------------------------------------------------------


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
    """What was not asked properly ends with 2 and one line that says what is wrong and where to read on."""
    done = modelsync(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("modelsync: ")


@pytest.mark.parametrize("command", [["serve"], ["sync"], ["check"], ["generate"], ["call", "Iris"]])
def test_bad_settings_end_with_2(command: list[str], tmp_path: Path) -> None:
    """A misspelt or malformed setting stops every command that reads them, naming all that is wrong at once."""
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
    """`.env` in the current directory gives settings, as they stand; what the environment sets goes before."""
    (tmp_path / ".env").write_text("MODELSYNC_PORT=nine\nMODELSYNC_WORKERS=none\ngitpassword=a${HOME}b\n")
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
        f"\n  {verb} " in done.stdout for verb in ["serve", "sync", "check", "generate", "new", "call", "version"]
    )


@pytest.mark.parametrize("verb", ["", "serve", "sync", "check", "generate", "new", "call", "rollout", "version"])
def test_help_is_for_reading(verb: str, tmp_path: Path) -> None:
    """No mark-up is left in a help text, and each example stands on a line of its own."""
    done = modelsync(*filter(None, [verb]), "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "\\" not in done.stdout
    assert "\b" not in done.stdout
    assert all(line.startswith(("Usage: ", "    ")) for line in done.stdout.splitlines() if "modelsync " in line)
    if example := {"": "new Price ", "call": "call Exchange amount=100 source=USD\n"}.get(verb):
        assert f"\n    modelsync {example}" in done.stdout


# --- check ------------------------------------------------------------------------------------------------------------

GOOD = "class Good:\n    def transform_predict(self, a: int = 1):\n        return {'a': a}\n"
BAD = "import json\nimport no_such_library\n\nclass Bad:\n    def transform_predict(self):\n        return {}\n"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with a good model, one that lacks a library, and one whose source is no Python."""
    folder = tmp_path / "models_serve"
    for name, code in (("Good", GOOD), ("Bad", BAD), ("Ugly", "class Ugly:\n    def (\n")):
        (folder / name).mkdir(parents=True)
        (folder / name / "etls.py").write_text(code)
    return folder


@pytest.mark.parametrize("path", [".", "models_serve"])
def test_check_tells_file_line_and_reason(models: Path, path: str) -> None:
    """A repository or a models folder with broken models ends with 1, and says of each where, why and what to do."""
    done = modelsync("check", path, cwd=models.parent)
    assert done.returncode == 1
    rows = [line.split()[:2] for line in done.stdout.splitlines() if line]
    assert rows[1:4] == [["Bad", "broken"], ["Good", "ok"], ["Ugly", "broken"]]
    assert "3 models, 2 broken" in done.stdout
    assert "models_serve/Bad/etls.py:2: " in done.stderr
    assert "no_such_library" in done.stderr
    assert "requirements.txt" in done.stderr
    assert "models_serve/Ugly/etls.py:2: " in done.stderr
    assert "Traceback" not in done.stderr


def test_check_of_one_good_folder(models: Path) -> None:
    """One model folder is checked alone, and its path may be `.`; nothing broken ends with 0."""
    for path, cwd in (("models_serve/Good", models.parent), (".", models / "Good")):
        done = modelsync("check", path, cwd=cwd)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Good" in done.stdout
        assert "1 models, all good" not in done.stdout
        assert "1 model, all good" in done.stdout


def test_check_as_json(models: Path) -> None:
    """For a program the verdicts are JSON: state, fault with file and line, times."""
    done = modelsync("check", "--format", "json", cwd=models.parent)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    by_name = {model["name"]: model for model in found["models"]}
    assert found["broken"] == 2
    assert by_name["Good"]["ok"]
    assert by_name["Good"]["load_seconds"] > 0
    fault = by_name["Bad"]["fault"]
    assert (fault["stage"], fault["file"], fault["line"]) == ("load", "etls.py", 2)


def test_shared_code_is_not_taken_for_a_library(models: Path) -> None:
    """What lies beside the model folders or at the top is named as that, by the check and by a sync."""
    top = models.parent
    (top / "common").mkdir()
    for file in ("common/features.py", "shared.py"):
        (top / file).touch()
    for name, module in (("Ugly", "common"), ("Bad", "shared")):
        (models / name / "etls.py").write_text(BAD.replace("no_such_library", module))
    git = ("git", "-c", "user.name=You", "-c", "user.email=you@example.org")
    for arguments in (["init"], ["add", "."], ["commit", "-m", "models"]):
        subprocess.run([*git, *arguments], cwd=top, check=True, capture_output=True)
    (top / "elsewhere").mkdir()
    followed = {"gitPath": top.as_uri(), "MODELSYNC_GIT_PROTOCOLS": "file", "MODELSYNC_GIT_SUBDIR": "models_serve"}
    for done in (
        modelsync("check", cwd=top),
        modelsync("sync", cwd=top),
        modelsync("sync", cwd=top / "elsewhere", **followed),
    ):
        told = done.stdout + done.stderr
        assert "common/ lies outside of the model's folder" in told
        assert "shared.py lies outside of the model's folder" in told
        assert "add the line" not in told


def test_check_of_nothing(tmp_path: Path) -> None:
    """A folder without any model is an error, not a success."""
    done = modelsync("check", cwd=tmp_path)
    assert done.returncode == 1
    assert "a model is a folder with a file etls.py" in done.stderr


def test_check_hides_the_secrets(tmp_path: Path) -> None:
    """A model that is checked does not see the service's secrets; it sees all other variables."""
    code = "import os\n\nraise RuntimeError(os.environ['MY_OWN'] + str(os.environ.get('gitpassword')))\n"
    (tmp_path / "M").mkdir()
    (tmp_path / "M" / "etls.py").write_text(
        f"{code}\nclass M:\n    def transform_predict(self):\n        return {{}}\n"
    )
    done = modelsync("check", "M", cwd=tmp_path, gitpassword="hidden-pw", MY_OWN="visible-")
    assert done.returncode == 1
    assert "visible-None" in done.stderr
    assert "hidden-pw" not in done.stdout + done.stderr


# --- generate, new ----------------------------------------------------------------------------------------------------


def test_generate_lists_every_route(models: Path) -> None:
    """`generate` writes serve_models.py beside the models, prints the routes, and names the folders it refused."""
    done = modelsync("generate", cwd=models.parent, baseUrl="api/v1")
    assert done.returncode == 0, done.stderr
    assert "POST /api/v1/Good" in done.stdout
    assert "models_serve/Ugly/etls.py:2" in done.stderr
    written = (models.parent / "serve_models.py").read_text()
    compile(written, "serve_models.py", "exec")
    assert "Good" in written


def test_generate_takes_a_folder_and_a_file(models: Path) -> None:
    """Folder and output may be given; create_serve_models.py is the same command."""
    done = modelsync("generate", "models_serve", "--output", "elsewhere.py", cwd=models.parent)
    assert done.returncode == 0, done.stderr
    thin = subprocess.run(
        [sys.executable, str(ROOT / "create_serve_models.py")], cwd=models.parent, capture_output=True, text=True
    )
    assert thin.returncode == 0, thin.stderr
    assert (models.parent / "serve_models.py").read_bytes() == (models.parent / "elsewhere.py").read_bytes()


def test_a_new_model_passes_its_check(tmp_path: Path) -> None:
    """`new` makes a folder that works as it is; a name that cannot be a route, or is taken, is refused."""
    assert modelsync("new", "Weather", cwd=tmp_path).returncode == 0
    assert (tmp_path / "models_serve" / "Weather" / "etls.py").is_file()
    done = modelsync("check", "models_serve/Weather", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("Weather", "all", "9lives", "a/b"):
        refused = modelsync("new", name, cwd=tmp_path)
        assert refused.returncode != 0
        assert len(refused.stderr.splitlines()) == 1
    assert modelsync("new", "Other", "--in", "elsewhere", cwd=tmp_path).returncode == 0
    assert (tmp_path / "elsewhere" / "Other" / "etls.py").is_file()


# --- serve, sync ------------------------------------------------------------------------------------------------------


def test_serve_says_where_it_is_and_what_to_try(tmp_path: Path) -> None:
    """The first release is announced with its URLs, what is broken, and a curl line that works as it is printed."""
    models = tmp_path / "models_serve"
    folder = write_model(models, "Echo", "class Echo:\n    def transform_predict(self, v: dict):\n        return v\n")
    (folder / "examples").mkdir()
    (folder / "examples" / "one.json").write_text('{"variables": {"quote": "it\'s"}}')
    write_model(models, "Broken", "class Broken:\n    def (\n")
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        told = until(lambda: text if "curl " in (text := service.log.read_text()) else None, message="a line to try")
        assert f"POST {service.url}/models/Echo" in told
        assert f"POST {service.url}/models/Broken  failed: etls.py:2" in told
        line = next(line for line in told.splitlines() if line.strip().startswith("curl "))
        assert json.loads(curl(line)) == {"quote": "it's"}
        called = modelsync("call", "Echo", "a=1", cwd=tmp_path, MODELSYNC_PORT=str(service.port))
        assert (called.returncode, called.stdout) == (0, '{"a":1}\n')


def test_without_an_example_the_usage_is_there_to_try(tmp_path: Path) -> None:
    """What models take that have no example is told by the service; the line says where a token goes."""
    models = tmp_path / "models_serve"
    write_model(models, "Model", answers(1))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1", MODELSYNC_PREDICT_TOKENS="t0ken") as service:
        told = until(lambda: text if "curl " in (text := service.log.read_text()) else None, message="a line to try")
        line = next(line for line in told.splitlines() if line.strip().startswith("curl "))
        assert line.strip() == f'curl {service.url}/models/usage -H "Authorization: Bearer $TOKEN"'
        assert "/models/Model -H 'Content-Type" in curl(line.replace("$TOKEN", "t0ken"))
        assert "t0ken" not in told
    write_example(models / "Model", {})
    (again := tmp_path / "again").mkdir()
    with serving(again, models, MODELSYNC_WORKERS="1", MODELSYNC_PREDICT_TOKENS="t0ken") as service:
        told = until(lambda: text if "curl " in (text := service.log.read_text()) else None, message="a line to try")
        line = next(line for line in told.splitlines() if line.strip().startswith("curl "))
        assert json.loads(curl(line.replace("$TOKEN", "t0ken"))) == {"value": 1}


def test_app_py_is_modelsync_serve(tmp_path: Path) -> None:
    """With its options, too."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "app.py"), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout == modelsync("serve", "--help", cwd=tmp_path).stdout


def test_sync_publishes_and_tells_the_running_service(tmp_path: Path) -> None:
    """`modelsync sync` publishes what changed, says so, and a service that runs from the same state swaps to it."""
    models = tmp_path / "models_serve"
    write_model(models, "Model", answers(1))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        assert service.post("Model").json() == {"value": 1}
        write_model(models, "Model", answers(2))
        done = modelsync("sync", cwd=tmp_path, MODELSYNC_HOME=str(service.home), MODELSYNC_MODELS=str(models))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("published: ")
        assert "1 models, 0 broken" in done.stdout
        until(lambda: service.post("Model").json() == {"value": 2})
    again = modelsync("sync", cwd=tmp_path, MODELSYNC_HOME=str(service.home), MODELSYNC_MODELS=str(models))
    assert (again.returncode, again.stdout.split(":")[0]) == (0, "unchanged")
    assert "was told" not in again.stdout


def test_a_failed_sync_ends_with_1(tmp_path: Path) -> None:
    """Where a sync fails, the exit code is 1 and the reason is told in one line, after what the log says."""
    done = modelsync("sync", cwd=tmp_path, MODELSYNC_MODELS="nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("modelsync: there is no folder nowhere/")
