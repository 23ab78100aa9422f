"""What the repository as a whole keeps to."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dotenv
import pytest

from modelsync import settings
from scripts import generated

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
    [str(path.relative_to(ROOT)) for path in tracked() if path.suffix == ".sh"] + [".ci/run"],
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
