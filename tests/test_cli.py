"""The command line as a user and a program meet it: output, exit codes, one line an error."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.servers.curl import curl
from tests.servers.service import answers, serving, write_model
from tests.waiting import until

ROOT = Path(__file__).parents[1]


def modelsync(*arguments: str, cwd: Path, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder with no settings but the given ones."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MODELSYNC_", "git", "baseUrl"))}
    return subprocess.run(
        [sys.executable, "-m", "modelsync", *arguments],
        cwd=cwd, env={**clean, **environ}, input=stdin, capture_output=True, text=True, timeout=100,
    )  # fmt: skip


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
        (["call", "Iris", "--url", "nonsense"], "--url"),
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


# --- call -------------------------------------------------------------------------------------------------------------


class Recorder(HTTPServer):
    """Keeps what it is sent, and answers what it is told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[dict[str, Any]] = []
        self.answer: tuple[int, str, bytes] = (200, "application/json", b'{"b":1,"a":2.50}')
        self.url = f"http://127.0.0.1:{self.server_port}/models"


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(
            {"path": self.path, "body": json.loads(body), "authorization": self.headers["Authorization"]}
        )
        status, kind, content = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_values_are_json_else_text(recorder: Recorder, tmp_path: Path) -> None:
    """NAME=VALUE reads numbers, true, null, lists and objects as JSON, all else as text; dots reach into objects."""
    values = ["n=5.1", "flag=true", "none=null", "list=[1,2]", "text=hello world", 'quoted="5"', "empty=", "eq=a=b"]
    done = modelsync("call", "Iris", *values, "o.k.x=2", "o.k.y=NaN", "--url", recorder.url, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert recorder.requests[0]["path"] == "/models/Iris"
    assert recorder.requests[0]["body"] == {
        "variables": {
            "n": 5.1, "flag": True, "none": None, "list": [1, 2], "text": "hello world", "quoted": "5", "empty": "",
            "eq": "a=b", "o": {"k": {"x": 2, "y": "NaN"}},
        }
    }  # fmt: skip


def test_variables_come_from_an_argument_a_file_or_standard_input(recorder: Recorder, tmp_path: Path) -> None:
    """--variables takes a JSON object in three ways, and NAME=VALUE goes on top."""
    (tmp_path / "v.json").write_text('{"a": 1, "b": 1}')
    for given in ('{"a": 1, "b": 1}', "@v.json", "@-"):
        stdin = '{"a": 1, "b": 1}'
        done = modelsync(
            "call", "M", "b=2", "--variables", given, "--url", f"{recorder.url}/", cwd=tmp_path, stdin=stdin
        )
        assert done.returncode == 0, done.stderr
    assert [request["body"]["variables"] for request in recorder.requests] == [{"a": 1, "b": 2}] * 3


def test_the_answer_is_printed_as_it_came(recorder: Recorder, tmp_path: Path) -> None:
    """Into a pipe go the answer's own bytes, so that a program can read them."""
    done = modelsync("call", "M", "--url", recorder.url, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"b":1,"a":2.50}\n', "")


def test_the_token_is_sent(recorder: Recorder, tmp_path: Path) -> None:
    """The bearer token is the file's, else the first of the predict tokens in the settings, else none."""
    (tmp_path / "token").write_text("from-file\n")
    modelsync("call", "M", "--url", recorder.url, cwd=tmp_path)
    modelsync("call", "M", "--url", recorder.url, cwd=tmp_path, MODELSYNC_PREDICT_TOKENS="first, second")
    modelsync(
        *("call", "M", "--url", recorder.url, "--token-file", "token"), cwd=tmp_path, MODELSYNC_PREDICT_TOKENS="first"
    )
    assert [request["authorization"] for request in recorder.requests] == [None, "Bearer first", "Bearer from-file"]


def test_a_problem_is_text(recorder: Recorder, tmp_path: Path) -> None:
    """An error answer is told in words, each bad field on a line of its own, with the id to look for in the log."""
    problem = {
        "title": "Unprocessable Content", "status": 422, "detail": "a: missing; b: not a number", "model": "M",
        "request_id": "r-1", "release": "abc",
        "errors": [{"field": "a", "message": "missing"}, {"field": "b", "message": "not a number"}],
    }  # fmt: skip
    recorder.answer = (422, "application/problem+json", json.dumps(problem).encode())
    done = modelsync("call", "M", "--url", recorder.url, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "modelsync: 422 Unprocessable Content:",
        "  a: missing",
        "  b: not a number",
        "  (request id r-1, release abc)",
    ]


@pytest.mark.parametrize("status", [302, 404, 502])
def test_another_server_is_told_apart(recorder: Recorder, status: int, tmp_path: Path) -> None:
    """What is no answer of modelsync (a proxy's error page, a redirect) is an error that says so."""
    recorder.answer = (status, "text/html", b"<h1>hello from a proxy</h1>")
    done = modelsync("call", "M", "--url", recorder.url, cwd=tmp_path)
    assert done.returncode == 1
    assert str(status) in done.stderr
    assert "hello from a proxy" in done.stderr


def test_no_service_says_how_to_start_one(tmp_path: Path) -> None:
    """Where nothing listens the command says where it looked and what to run."""
    done = modelsync("call", "M", cwd=tmp_path, MODELSYNC_PORT="1", baseUrl="")
    assert done.returncode == 1
    assert "cannot connect to http://127.0.0.1:1/M" in done.stderr
    assert "modelsync serve" in done.stderr


def seen_by_a_person(*arguments: str, cwd: Path, **environ: str) -> str:
    """Run the command on a pseudo-terminal and return what a person would see, escape sequences included."""
    master, slave = pty.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, master)
        subprocess.run(
            [sys.executable, "-m", "modelsync", *arguments],
            cwd=cwd, env={**os.environ, "TERM": "xterm-256color", **environ},
            stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, timeout=100,
        )  # fmt: skip
        os.close(slave)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: all has been read
            while part := os.read(master, 65536):
                seen += part
    return seen.decode().replace("\r\n", "\n")


def test_a_person_gets_it_pretty(recorder: Recorder, tmp_path: Path) -> None:
    """On a terminal the answer is indented and coloured; with NO_COLOR it is indented only."""
    command = ("call", "M", "--url", recorder.url)
    clean = {name: "" for name in ("NO_COLOR", "FORCE_COLOR") if name in os.environ}
    assert "\x1b[" in seen_by_a_person(*command, cwd=tmp_path, **clean)
    assert seen_by_a_person(*command, cwd=tmp_path, NO_COLOR="1").replace("\x1b[1m", "").replace("\x1b[0m", "") == (
        '{\n  "b": 1,\n  "a": 2.5\n}\n'
    )
