"""How every command starts and fails: settings, help, exit codes, one line an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import modelsync


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
