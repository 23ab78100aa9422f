"""Ranges, pins and locks of libraries; the wheel; the version and the check of a release."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from modelsync import __version__
from scripts import lock, release_check, version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
RANGES = {
    extra: [Requirement(line) for line in lines]
    for extra, lines in {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items()
}


def asked(*names: str) -> dict[str, SpecifierSet]:
    """Give the versions of each library that files ask for."""
    found = [Requirement(line) for name in names for line in lock.requirements(ROOT / name)]
    return {canonicalize_name(one.name): one.specifier for one in found}


def pins(*names: str) -> dict[str, str]:
    """Give the version of each library that requirement files pin."""
    return {name: str(versions).removeprefix("==") for name, versions in asked(*names).items()}


def locked(name: str) -> dict[str, list[str]]:
    """Give the hashes of each `library==version` of a lock file."""
    entries = re.findall(
        r"^([\w.-]+==[^\s;\\]+)[^\n]*\\\n((?:    --hash=.*\n?)+)",
        (ROOT / name).read_text(),
        re.MULTILINE,
    )
    return {pinned: re.findall(r"sha256:[0-9a-f]{64}", hashes) for pinned, hashes in entries}


# --- libraries ------------------------------------------------------------------------------------


def test_pins_are_within_the_ranges() -> None:
    """What is tested (requirements.txt) is what pyproject.toml allows."""
    pinned = pins("requirements.txt", "requirements-dev.txt")
    for extra, asked in RANGES.items():
        for one in asked:
            assert one.name in pinned, f"{one.name} ({extra or 'core'}) has no pin"
            assert one.specifier.contains(pinned[one.name]), f"{one} excludes {pinned[one.name]}"


def test_the_service_needs_what_it_imports() -> None:
    """Without an extra there is neither the Kubernetes client nor a library for models."""
    core = {one.name for one in RANGES[""]}
    assert core & {"kubernetes", "numpy", "pandas", "scikit-learn"} == set()
    extras = ("kubernetes", "sklearn", "postgres", "data", "compiled")
    rest = {one.name for extra in extras for one in RANGES[extra]}
    assert set(pins("requirements.txt")) - core - rest <= {"pyyaml"}


@pytest.mark.parametrize(("name", "of"), lock.INPUTS.items())
def test_lock_files_hold_every_pin_with_hashes(name: str, of: list[str]) -> None:
    """Each line of a requirement file is in its lock file, and every library there has hashes."""
    entries = locked(name)
    versions = dict(entry.split("==") for entry in entries)
    for library, wanted in asked(*of).items():
        assert wanted.contains(versions[library]), library
    text = (ROOT / name).read_text("utf-8")
    assert len(entries) == len(re.findall(r"^\S+==", text, re.MULTILINE))
    assert all(entries.values())


def test_lock_files_name_the_same_versions() -> None:
    """What is tested is what runs, to the last library."""
    assert locked(lock.SLIM).items() <= locked(lock.RUN).items() <= locked(lock.DEV).items()


def test_the_slim_image_has_no_library_for_models() -> None:
    """It has what the service itself imports: a model brings its own."""
    names = {entry.partition("==")[0] for entry in locked(lock.SLIM)}
    extras = ("sklearn", "onnx", "data", "compiled")
    models = {one.name for extra in extras for one in RANGES[extra]}
    assert names & models == set()


def test_a_stale_lock_file_is_found(tmp_path: Path) -> None:
    """A pin that changed is noticed without an index; a comment is not one."""
    for name in {*lock.INPUTS, *(file for of in lock.INPUTS.values() for file in of)}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    file = tmp_path / "requirements-dev.txt"
    file.write_text(file.read_text() + "\n# a comment\n")
    assert lock.stale(tmp_path) == []
    file.write_text(file.read_text() + "tabulate==1.0\n")
    assert lock.stale(tmp_path) == [lock.DEV]
    file = tmp_path / "requirements.txt"
    file.write_text(file.read_text().replace("==", ">=", 1))
    assert lock.stale(tmp_path) == [lock.RUN, lock.DEV]


# --- the wheel ------------------------------------------------------------------------------------


def test_the_wheel_has_every_file(tmp_path: Path) -> None:
    """Code, templates, static files, py.typed and the licence; nothing else."""
    command = [
        sys.executable,
        "-m",
        "scripts.uv",
        "build",
        "--quiet",
        "--wheel",
        "--out-dir",
        str(tmp_path),
        ".",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode == 69:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    ours = {
        str(file.relative_to(ROOT)) for file in (ROOT / "modelsync").rglob("*") if file.is_file()
    }
    info = f"modelsync-{__version__}.dist-info"
    assert {name for name in names if not name.startswith(info)} == {
        name for name in ours if "__pycache__" not in name
    }
    assert f"{info}/licenses/LICENSE" in names


def test_the_wheel_is_tested_by_tests_that_are_there() -> None:
    """The folders and files that scripts/test_wheel.sh runs exist."""
    script = (ROOT / "scripts" / "test_wheel.sh").read_text("utf-8")
    chosen = re.findall(r"^chosen\+?=\((tests/.*)\)$", script, re.MULTILINE)
    assert chosen
    assert [name for name in " ".join(chosen).split() if not (ROOT / name).exists()] == []


def test_types_are_for_others_too() -> None:
    """The marker of PEP 561 is in the package."""
    assert (files("modelsync") / "py.typed").is_file()


# --- the version ----------------------------------------------------------------------------------


def copied(folder: Path, changelog: str) -> Path:
    for name in {
        *version.PLACES,
        *lock.INPUTS,
        *(file for of in lock.INPUTS.values() for file in of),
    }:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "CHANGELOG.md").write_text(changelog)
    return folder


def test_every_file_has_the_version() -> None:
    """pyproject.toml, Dockerfile, chart and manifests repeat that of modelsync/__init__.py."""
    assert [path.name for path, text in version.stamped() if path.read_text("utf-8") != text] == []


def test_a_release_is_of_one_version(tmp_path: Path) -> None:
    """Tag, version, changelog and chart are compared; each contradiction says what to do."""
    root = copied(tmp_path, f"# Changelog\n\n## [{__version__}] - 2026-12-01\n")
    assert list(release_check.contradictions(f"v{__version__}", root=root)) == []
    assert list(release_check.contradictions(None, root=root)) == []
    chart = root / "helm" / "modelsync" / "Chart.yaml"
    chart.write_text(chart.read_text().replace(__version__, "0.0.9"))
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## [9.9.9] - unreleased\n")
    assert list(release_check.contradictions("v9.9.9", root=root)) == [
        f"the tag is v9.9.9, modelsync/__init__.py says {__version__}: v{__version__} is its tag",
        f"helm/modelsync/Chart.yaml does not have the version {__version__}: "
        "run `make generated manifests`",
        f"CHANGELOG.md begins with 9.9.9, not with {__version__}",
    ]


def test_a_release_has_a_date(tmp_path: Path) -> None:
    """An entry that is unreleased is not released."""
    root = copied(tmp_path, f"# Changelog\n\n## [{__version__}] - unreleased\n")
    (found,) = release_check.contradictions(None, root=root)
    assert "no date" in found
