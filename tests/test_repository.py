"""What the repository as a whole keeps to."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dotenv
import pytest

from modelsync import settings
from scripts import generated
from tests.waiting import patient

ROOT = Path(__file__).parents[1]


def tracked() -> Iterator[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return (path for name in names.split("\0") if name and (path := ROOT / name).is_file())


@pytest.mark.parametrize("name", [entry.name for entry in settings.entries()])
def test_every_setting_is_documented(name: str) -> None:
    """A setting stands in env.example and in the README's table."""
    assert re.search(rf"^#{name}=", (ROOT / "env.example").read_text("utf-8"), re.MULTILINE)
    assert f"| `{name}` |" in (ROOT / "README.md").read_text("utf-8")


def test_generated_files_are_current() -> None:
    """`make generated` would change nothing."""
    assert generated.main(check=True) == 0


def test_env_example_holds_the_defaults(tmp_path: Path) -> None:
    """With every line of env.example uncommented, the settings are those without any."""
    lines = (ROOT / "env.example").read_text("utf-8").splitlines()
    file = tmp_path / ".env"
    file.write_text("\n".join(line[1:] for line in lines if re.match(r"#\w+=", line)))
    values = {
        name: value or "" for name, value in dotenv.dotenv_values(file, interpolate=False).items()
    }
    assert len(values) == len(list(settings.entries()))
    assert settings.load(values) == settings.load({})


def test_no_file_names_a_machine() -> None:
    """No tracked file names a path of somebody's machine or a package index."""
    folders = "|".join(("work", "root", "farm"))
    named = re.compile(rf"(^|[^a-zA-Z0-9._-])/({folders})/|index-url *[= ]|PIP_INDEX_URL *=")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked()
        if path != Path(__file__)
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1)
        if named.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    "script",
    ["run.sh", "scripts/venv.sh", "scripts/image.sh", ".ci/run", "tests/image/build-base.sh"],
)
def test_shell_scripts_parse(script: str) -> None:
    """Every shell script is valid bash, may be executed, and stops at its first error or at an
    unset variable.
    """
    path = ROOT / script
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert path.stat().st_mode & 0o111
    assert re.search(r"^set -e?uo pipefail$", path.read_text("utf-8"), re.MULTILINE)


def test_licence_is_apache() -> None:
    """The licence is the one that pyproject.toml names, in full."""
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_commands_start_fast() -> None:
    """`modelsync --help` imports nothing that a model or a server needs."""
    code = "import sys, modelsync.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {
        "pandas",
        "numpy",
        "pydantic",
        "flask",
        "gunicorn",
        "git",
        "requests",
        "rich",
        "uvloop",
        "jinja2",
        "kubernetes",
    }
    assert heavy & set(loaded) == set()


# --- run.sh on a machine that lacks something -----------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with run.sh and what it reads."""
    for name in (
        "run.sh",
        "scripts/venv.sh",
        "scripts/bootstrap_pip.py",
        "requirements.txt",
        "pyproject.toml",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run_sh(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run run.sh from another directory."""
    return subprocess.run(
        [str(folder / "run.sh")],
        cwd="/",
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=patient(60),
    )


def fake_python(folder: Path, script: str) -> str:
    """An interpreter that is this one but for what the script does first."""
    file = folder / "python-here"
    file.write_text(f'#!/bin/sh\n{script}\nexec "{sys.executable}" "$@"\n')
    file.chmod(0o755)
    return str(file)


def test_run_without_python(checkout: Path) -> None:
    """Without an interpreter run.sh says what to install."""
    done = run_sh(checkout, PYTHON="python-is-not-here")
    assert done.returncode == 1
    assert "python-is-not-here is not here; install Python 3.11 or newer" in done.stderr


def test_run_with_an_old_python(checkout: Path) -> None:
    """An interpreter that is too old is named with its version."""
    old = fake_python(
        checkout, 'case "$*" in --version) echo Python 3.9.2; exit;; *version_info*) exit 1;; esac'
    )
    done = run_sh(checkout, PYTHON=old)
    assert done.returncode == 1
    assert "Python 3.9.2 is too old: Python 3.11 or newer is needed" in done.stderr


def test_run_without_venv(checkout: Path) -> None:
    """A Python that cannot make virtual environments is told apart, with the package to install."""
    bare = fake_python(checkout, 'case "$*" in *"import venv"*) exit 1;; esac')
    done = run_sh(checkout, PYTHON=bare)
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_run_without_git(checkout: Path) -> None:
    """Without git run.sh says so before it installs anything."""
    commands = checkout / "commands"
    commands.mkdir()
    for name in ("bash", "dirname", "env"):
        (commands / name).symlink_to(str(shutil.which(name)))
    done = run_sh(checkout, PATH=str(commands), PYTHON=sys.executable)
    assert done.returncode == 1
    assert "git is not here; install it" in done.stderr


def test_installing_happens_once(checkout: Path) -> None:
    """Two runs at the same time install once, and a third not at all."""
    log = checkout / "calls"
    counting = fake_python(
        checkout,
        f"""case "$*" in
        "-m venv"*)
            mkdir -p .venv/bin; cp "$0" .venv/bin/python; cp "$0" .venv/bin/modelsync; exit;;
        *"pip "*) echo "$*" >> {log}; exit;;
        serve*) echo serving; exit;;
        esac""",
    )
    with ThreadPoolExecutor() as pool:
        first = list(pool.map(lambda _: run_sh(checkout, PYTHON=counting), range(2)))
    for done in (*first, run_sh(checkout, PYTHON=counting)):
        assert (done.returncode, done.stdout) == (0, "serving\n"), done.stderr
    installs = [
        line for line in log.read_text().splitlines() if "--requirement requirements.txt" in line
    ]
    assert len(installs) == 1
