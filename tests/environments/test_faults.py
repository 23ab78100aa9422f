"""A set that cannot be built is told in uv's own words, and holds up nobody else."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from modelsync.deadline import Deadline
from modelsync.environments.builder import Builder
from modelsync.environments.requirements import fault_of
from modelsync.errors import ModelBroken
from modelsync.models.types import Fault
from tests.environments.making import requirements
from tests.fixtures.index import PackageIndex
from tests.waiting import patient

INDEX = "--index-url"
NewBuilder = Callable[..., Builder]


def fault(builder: Builder, folder: Path, text: str, **files: str) -> Fault:
    """The fault of a set that cannot be built."""
    with pytest.raises(ModelBroken) as caught:
        builder.provide(requirements(folder, requirements__txt=text, **files))
    found = fault_of(caught.value)
    assert (found.stage, builder.environments.all()) == ("environment", [])
    return found


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("basket\n\nlemon==9.9\n", 3, "there is no version of lemon==9.9"),
        ("# ours\nno-such-package\n", 2, "no-such-package was not found in the package registry"),
        ("lemon==2.0\nbasket==1.0\n", 1, "basket<=1.0 depends on lemon==1.0"),
        ("lemon==1.0\nlemon==2.0\n", 1, "you require lemon==1.0 and lemon==2.0"),
        ("lemon\nbasket=1.0\n", 2, 'no such comparison operator "="'),
        ("lemon\n--no-such-option\n", 2, "Unexpected '-'"),
        ("lemon==1.0 --hash=sha256:" + "ab" * 32, None, "Hash mismatch for `lemon==1.0`"),
        ("lemon @ http://127.0.0.1:9/lemon-1.0-py3-none-any.whl", None, "cannot be reached"),
    ],
)
def test_what_does_not_resolve_is_told_with_its_line(
    tmp_path: Path,
    index: PackageIndex,
    new_builder: NewBuilder,
    text: str,
    line: int | None,
    message: str,
) -> None:
    """In one line, without what uv says in every error."""
    found = fault(new_builder(), tmp_path, text)
    assert message in found.message
    assert (found.file, found.line) == ("requirements.txt", line)
    assert "\n" not in found.message
    assert not found.message.startswith(("error", "No solution"))


def test_a_line_of_another_file_is_named(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """`-r` leads there, and so does the fault."""
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text("\nlemon==9\n")
    found = fault(new_builder(), tmp_path, "-r more/base.txt\n")
    assert (found.file, found.line) == ("more/base.txt", 2)


@pytest.mark.parametrize("how", ["refused", "unknown host", "error"])
def test_an_index_that_is_away_is_told(
    tmp_path: Path,
    index: PackageIndex,
    new_builder: NewBuilder,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """And only the first set waits for it."""
    index.status = 503
    away = {"refused": "http://127.0.0.1:9/simple", "unknown host": "http://nowhere.invalid/simple"}
    monkeypatch.setenv("UV_DEFAULT_INDEX", away.get(how, index.url))
    builder = new_builder()
    found = fault(builder, tmp_path / "a", "lemon\n")
    assert found.message.startswith("the package index cannot be reached: ")
    assert found.transient
    assert found.hint
    assert "environments build" in found.hint
    asked = len(index.requests)
    other = fault(builder, tmp_path / "b", "basket\n").message
    assert other == "the package index cannot be reached"
    assert len(index.requests) == asked


def test_an_index_that_hangs_is_given_up(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """At the time limit of one environment, whatever uv waits for."""
    index.stop_at = "/simple"
    began = time.monotonic()
    found = fault(new_builder(timeout=1.0), tmp_path, "lemon\n")
    assert time.monotonic() - began < patient(10)
    assert found.message == "its environment was not built within 1 s"
    assert found.hint == "MODELSYNC_ENVIRONMENT_TIMEOUT allows more"


def test_one_that_is_too_large_is_stopped(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """At the limit of its size."""
    index.offer("melon", "1.0", "x = '" + "y" * 3_000_000 + "'\n")
    found = fault(new_builder(size=2**21), tmp_path, "melon\n")
    assert found.message == "its environment is larger than the 2 MiB that it may have"


def test_credentials_of_an_index_are_not_told(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it refuses them or is away."""
    for status, told in ((401, "the index answers 401"), (503, "cannot be reached")):
        index.status = status
        url = index.url.replace("//", "//me:hunter2@")
        found = fault(new_builder(), tmp_path, f"{INDEX} {url}\nlemon\n")
        assert told in str(found)
        assert "hunter2" not in f"{found} {caplog.text}"


def test_code_that_a_build_runs_sees_no_secret(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it raises is told."""
    monkeypatch.setenv("MODELSYNC_ADMIN_TOKENS", "topsecret")
    backend = "import os\nsecret = 'MODELSYNC_ADMIN_TOKENS' in os.environ\n"
    backend += "raise RuntimeError(f'gcc is missing {secret}')\n"
    project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    about = "Metadata-Version: 2.1\nName: pear\nVersion: 1.0\n"
    with tarfile.open(tmp_path / "pear-1.0.tar.gz", "w:gz") as archive:
        for name, text in (
            ("backend.py", backend),
            ("pyproject.toml", project),
            ("PKG-INFO", about),
        ):
            item = tarfile.TarInfo(f"pear-1.0/{name}")
            item.size = len(text)
            archive.addfile(item, io.BytesIO(text.encode()))
    found = fault(new_builder(), tmp_path, "./pear-1.0.tar.gz\n")
    assert "gcc is missing False" in found.message
    assert str(tmp_path) not in found.message


def test_a_python_that_is_not_installed_is_told(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """With those that are; an old one is none."""
    for wanted in ("3.99", ">=3.6,<3.11"):
        (tmp_path / ".python-version").write_text(f"{wanted}\n")
        found = fault(new_builder(), tmp_path, "lemon\n")
        assert (found.file, found.message) == (
            ".python-version",
            f"Python {wanted} is not installed",
        )
        assert found.hint
        assert "installed are 3." in found.hint


def test_a_stale_lock_file_is_told(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """One that does not fit its pyproject.toml would install something else than was asked for."""
    project = '[project]\nname = "p"\nversion = "0"\ndependencies = ["lemon"]\n'
    project += 'requires-python = ">=3.11"\n'
    (tmp_path / "pyproject.toml").write_text(project)
    (tmp_path / "uv.lock").write_text('version = 1\nrevision = 3\nrequires-python = ">=3.11"\n')
    with pytest.raises(ModelBroken) as caught:
        new_builder().provide(requirements(tmp_path))
    assert fault_of(caught.value).hint == "run `uv lock`, and commit uv.lock"


def test_a_build_waits_for_another_process(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """As long as it may take itself."""
    other = new_builder().environments
    with other.lock(Deadline(1)):
        found = fault(new_builder(timeout=0.3), tmp_path, "lemon\n")
    assert "not built within" in found.message


def test_a_time_out_of_pip_that_is_no_number_is_told(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It breaks the folder, and not the update."""
    monkeypatch.setenv("PIP_TIMEOUT", "soon")
    with pytest.raises(ModelBroken, match="time-out in pip's configuration is not a number"):
        new_builder().provide(requirements(tmp_path, requirements__txt="basket==1.0\n"))
