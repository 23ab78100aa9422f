"""Environments are built by uv, each distinct set once, and nothing twice."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from modelsync.environments import uv
from modelsync.environments.builder import Builder
from tests.environments.making import asked, requirements
from tests.fixtures.index import PackageIndex, needs_real_index, wheel
from tests.waiting import patient, until

NewBuilder = Callable[..., Builder]
EXTRA = "--extra-index-url"
VERSION = "import lemon; print(lemon.VERSION)"


def test_two_folders_have_two_versions(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """What a package needs itself is resolved too; the libraries of the service are not there."""
    builder = new_builder()
    first = builder.provide(requirements(tmp_path / "a", requirements__txt="basket==1.0\n"))
    second = builder.provide(requirements(tmp_path / "b", requirements__txt="basket>1\n"))
    assert [asked(builder, one, VERSION) for one in (first, second)] == ["1.0", "2.0"]
    code = "import importlib.util as u; print(u.find_spec('flask'))"
    assert asked(builder, first, code) == "None"


def test_what_has_not_changed_runs_no_uv(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in this update nor in the next process; a new comment is no change."""
    text = "basket==1.0\n"
    made = new_builder().provide(requirements(tmp_path, requirements__txt=text))
    index.requests.clear()
    monkeypatch.setattr(uv, "_program", lambda: "/nowhere/uv")
    again = requirements(tmp_path, requirements__txt=f"# why\n{text}")
    assert new_builder().provide(again) == made
    assert index.requests == []


def test_sets_that_come_to_the_same_share_an_environment(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """Its id is that of the resolved set, not of the text."""
    builder = new_builder()
    texts = ("basket==1.0\n", "lemon<2\nbasket\n", "-r base.txt\n")
    (tmp_path / "base.txt").write_text("basket<1.5")
    made = {builder.provide(requirements(tmp_path, requirements__txt=text)) for text in texts}
    assert len(made) == 1


def test_one_that_was_removed_is_built_again_without_the_index(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """The versions are those of before, even if the index has newer ones now."""
    wanted = requirements(tmp_path, requirements__txt="basket\n")
    made = new_builder().provide(wanted)
    index.offer("basket", "3.0")
    assert new_builder().environments.sweep(set()) == [made]
    index.status = 503
    builder = new_builder()
    assert builder.provide(wanted) == made
    assert asked(builder, made, "import basket; print(basket.VERSION)") == "2.0"


def test_another_index_is_asked_anew(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its packages may be others."""
    wanted = requirements(tmp_path, requirements__txt="lemon\n")
    made = new_builder().provide(wanted)
    with PackageIndex() as other:
        other.offer("lemon", "7.0")
        monkeypatch.setenv("UV_DEFAULT_INDEX", other.url)
        builder = new_builder()
        assert (again := builder.provide(wanted)) != made
        assert asked(builder, again, VERSION) == "7.0"


def test_pip_s_index_is_used(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator who has set up pip need not set up uv."""
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", index.url)
    new_builder().provide(requirements(tmp_path, requirements__txt="lemon\n"))
    assert index.requests


def test_an_index_in_the_file_is_used(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """Also to install, and also one with a folder of wheels."""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "peel-1.0-py3-none-any.whl").write_bytes(wheel("peel", "1.0"))
    with PackageIndex() as other:
        other.offer("pip_only", "1.0")
        text = f"{EXTRA} {other.url}\n-f ./wheels\npip-only\npeel\nlemon\n"
        builder = new_builder()
        made = builder.provide(requirements(tmp_path, requirements__txt=text))
    code = "import pip_only, peel, lemon; print(pip_only.VERSION, peel.VERSION)"
    assert asked(builder, made, code) == "1.0 1.0"


def test_a_wheel_of_the_folder_is_installed(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """Another content of the same name and version makes another environment."""
    (tmp_path / "wheels").mkdir()
    file, builder, made = tmp_path / "wheels" / "peel-1.0-py3-none-any.whl", new_builder(), []
    for number in (1, 2):
        file.write_bytes(wheel("peel", "1.0", f"NUMBER = {number}"))
        text = "./wheels/peel-1.0-py3-none-any.whl\n"
        made.append(builder.provide(requirements(tmp_path, requirements__txt=text)))
        assert asked(builder, made[-1], "import peel; print(peel.NUMBER)") == str(number)
    assert made[0] != made[1]


def test_a_lock_file_of_uv_is_installed(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """With the versions that it holds, without the tools of the project's author."""
    project = '[project]\nname = "p"\nversion = "0"\nrequires-python = ">=3.11"\n'
    project += 'dependencies = ["lemon<2", "peel"]\n[dependency-groups]\ndev = ["basket"]\n'
    project += '[tool.uv.sources]\npeel = {path = "wheels/peel-1.0-py3-none-any.whl"}\n'
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "peel-1.0-py3-none-any.whl").write_bytes(wheel("peel", "1.0"))
    (tmp_path / "pyproject.toml").write_text(project)
    program = [sys.executable, "-m", "uv", "lock", "--quiet"]
    subprocess.run(program, cwd=tmp_path, check=True, timeout=patient(60))
    builder = new_builder()
    made = builder.provide(requirements(tmp_path))
    code = "import importlib.util as u, lemon, peel; print(lemon.VERSION, u.find_spec('basket'))"
    assert asked(builder, made, code) == "1.0 None"


def test_digests_are_verified_and_constraints_only_constrain(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """A file with `--hash` is installed as it is, without what it does not name."""
    sha = hashlib.sha256(index.files["lemon-1.0-py3-none-any.whl"]).hexdigest()
    (tmp_path / "pins.txt").write_text("basket==1.0\n")
    text = f"-c pins.txt\nlemon==1.0 \\\n    --hash=sha256:{sha}\n"
    builder = new_builder()
    made = builder.provide(requirements(tmp_path, requirements__txt=text))
    code = "import importlib.util as u, lemon; print(lemon.VERSION, u.find_spec('basket'))"
    assert asked(builder, made, code) == "1.0 None"


def test_one_file_is_on_the_disk_once(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """Eight environments with the same large package take little more than one."""
    content = "x = '" + "y" * 16_000_000 + "'\n"
    index.offer("melon", "1.0", content)
    for number in range(8):
        index.offer(f"seed{number}", "1.0")
    builder = new_builder()
    wanted = [
        requirements(tmp_path / str(number), requirements__txt=f"melon\nseed{number}\n")
        for number in range(8)
    ]
    builder.provide(wanted[0])
    one = _disk(tmp_path / "home")
    made = [builder.provide(other) for other in wanted]
    assert len(set(made)) == 8
    assert _disk(tmp_path / "home") < 1.15 * one
    [file] = (builder.environments.folder / made[3]).glob("lib/*/site-packages/melon.py")
    assert file.stat().st_nlink > 8


def test_bytecode_is_compiled_once(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """For all environments with the same file; Python takes it, and tells the file's own path."""
    index.offer("crooked", "1.0", "print 'Python 2'\n")  # as templates in wheels are
    builder = new_builder()
    first = builder.provide(requirements(tmp_path / "a", requirements__txt="lemon==1.0\n"))
    second = builder.provide(requirements(tmp_path / "b", requirements__txt="basket==1\ncrooked\n"))
    code = "import lemon; print(lemon.__cached__, lemon.__spec__.loader.path)"
    cached = [asked(builder, one, code).split() for one in (first, second)]
    assert len({Path(file).stat().st_ino for file, _ in cached}) == 1
    assert [
        Path(file).is_relative_to(builder.environments.folder / one)
        for one, (_, file) in zip((first, second), cached, strict=True)
    ] == [True, True]


def test_other_pods_install_the_same_versions(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder
) -> None:
    """From the folder that they share, also while no index can be reached."""
    wanted = requirements(tmp_path, requirements__txt="basket\n")
    settings, shared = new_builder()._settings, tmp_path / "shared"
    made = Builder(settings, tmp_path / "one", shared).provide(wanted)
    index.offer("basket", "3.0")
    index.status = 503
    other = Builder(settings, tmp_path / "two", shared)
    assert other.provide(wanted) == made
    assert asked(other, made, VERSION) == "2.0"


def test_prepared_environments_are_taken(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an image brings them: no index is asked, and removing one leaves the image as it is."""
    wanted = requirements(tmp_path, requirements__txt="basket\n")
    made = new_builder(folder=tmp_path / "image").provide(wanted)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setattr(uv, "_program", lambda: "/nowhere/uv")
    builder = new_builder(prepared=tmp_path / "image")
    assert builder.provide(wanted) == made
    assert asked(builder, made, VERSION) == "2.0"
    assert builder.environments.sweep(set()) == [made]
    assert (tmp_path / "image" / made / "bin" / "python").exists()


@pytest.mark.parametrize("moment", ["resolving", "installing"])
def test_a_build_that_is_killed_leaves_nothing_that_counts(
    tmp_path: Path, index: PackageIndex, new_builder: NewBuilder, moment: str
) -> None:
    """No process of it lives on; the next build removes what it left, and succeeds."""
    model = tmp_path / "models" / "Model"
    wanted = requirements(model, requirements__txt="basket\n")
    (model / "etls.py").write_text("class M:\n    def transform_predict(self): ...\n")
    index.stop_at = "/simple/basket" if moment == "resolving" else "/files/basket-2.0"
    environ = {**os.environ, "MODELSYNC_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "modelsync", "environments", "build", str(model)]
    process = subprocess.Popen(command, env=environ)
    until(lambda: any(index.stop_at in path for path in index.requests))
    family = psutil.Process(process.pid).children(recursive=True)
    assert family
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not any(one.is_running() and one.status() != "zombie" for one in family))
    index.stop_at = ""
    builder = new_builder()
    assert builder.environments.all() == []
    made = builder.provide(wanted)
    assert [one.id for one in builder.environments.all()] == [made]
    assert not list(builder.environments.folder.glob(".*.tmp"))


def test_packages_of_the_real_index_are_installed(tmp_path: Path, new_builder: NewBuilder) -> None:
    """As they are for pip on this machine; what runners are faster with comes with them."""
    needs_real_index()
    builder = new_builder(timeout=patient(120))
    made = builder.provide(requirements(tmp_path, requirements__txt="toolz==1.0.0\nsix\n"))
    code = "import orjson, pydantic, six, toolz; print(toolz.__version__, pydantic.VERSION[0])"
    assert asked(builder, made, code) == "1.0.0 2"


def _disk(folder: Path) -> int:
    """The bytes that a folder takes, each file once."""
    found = {}
    for path in folder.rglob("*"):
        about = path.lstat()
        found[about.st_ino] = about.st_blocks * 512
    return sum(found.values())
