"""Discovery: which folders are models, and which faults are seen without running code."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from modelsync.files import tree_hash
from modelsync.models.discovery.folders import discover
from modelsync.models.types import ModelSpec
from tests.models.code import fault_of
from tests.models.conftest import Find, Write

GOOD = """
class Churn:
    def transform_predict(self, variables):
        return {}
"""


def test_folders_are_listed_by_name_with_their_version(root: Path, write: Write) -> None:
    """Every model folder is there, sorted, with the hash git gives it."""
    for name in ("Zeta", "Alpha", "mid-dle_1"):
        write(name, GOOD)
    found = discover(root)
    assert [folder.name for folder in found] == ["Alpha", "Zeta", "mid-dle_1"]
    assert [folder.version for folder in found] == [tree_hash(folder.path) for folder in found]
    assert all(folder.fault is None and folder.class_name == "Churn" for folder in found)


def test_versions_that_git_knows_are_taken(root: Path, write: Write) -> None:
    """A hash that is given is not computed again."""
    write("Churn", GOOD)
    write("Other", GOOD)
    versions: dict[str, str] = {
        folder.name: folder.version for folder in discover(root, {"Churn": "f" * 40})
    }
    assert versions["Churn"] == "f" * 40
    assert versions["Other"] == tree_hash(root / "Other")


def test_what_is_no_model_is_left_out(root: Path, write: Write) -> None:
    """Hidden folders, caches, folders without etls.py and plain files are no models."""
    write(".hidden", GOOD)
    write("__pycache__", GOOD)
    write("docs", files={"index.md": "text"})
    write("tests", files={"test_it.py": "x = 1", "data.pkl": "x"})
    (root / "etls.py").write_text(GOOD)
    assert discover(root) == []
    assert discover(root / "absent") == []


def test_nothing_of_a_model_runs(root: Path, write: Write, tmp_path: Path) -> None:
    """The static analysis reads code and never executes it."""
    mark = tmp_path / "ran"
    write("Churn", f"open({str(mark)!r}, 'w')\n{GOOD}")
    before = set(sys.modules)
    assert discover(root)[0].fault is None
    assert not mark.exists()
    assert not any("Churn" in name or name == "etls" for name in set(sys.modules) - before)


def test_five_hundred_folders(root: Path, write: Write) -> None:
    """All of 500 folders are found, a broken one among them too."""
    for number in range(500):
        write(f"M{number:03}", GOOD if number != 250 else "def oops(:")
    found = discover(root)
    assert len(found) == 500
    assert [folder.name for folder in found if folder.fault] == ["M250"]


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["all", "ALL", "docs", "usage", "openapi.json", "sync", "metrics", "v2", "Static"]
)
def test_reserved_names_are_refused(root: Path, write: Write, name: str) -> None:
    """A route of the service cannot be a model, in any case of letters."""
    write(name, GOOD)
    [folder] = discover(root)
    assert fault_of(folder).stage == "name"


@pytest.mark.parametrize(
    "name",
    [
        "1st",
        "my model",
        "a.b",
        "_a",
        "-a",
        "né",
        "a%2f",
        "new\nline",
        b"\xff".decode("utf-8", "surrogateescape"),
    ],
)
def test_odd_names_are_refused(root: Path, write: Write, name: str) -> None:
    """A name that cannot stand in a URL is refused, with what is allowed; also if not UTF-8."""
    write(name, GOOD)
    [folder] = discover(root)
    assert fault_of(folder).stage == "name"
    assert "letters" in str(fault_of(folder).hint)
    assert folder.name.encode()
    assert str(folder.fault).encode()


def test_case_twins_are_both_refused(root: Path, write: Write) -> None:
    """Neither of two names that differ in case is served, and each names the other."""
    write("Churn", GOOD)
    write("churn", GOOD)
    write("Other", GOOD)
    found: dict[str, ModelSpec] = {folder.name: folder for folder in discover(root)}
    assert "churn" in fault_of(found["Churn"]).message
    assert "Churn" in fault_of(found["churn"]).message
    assert found["Other"].fault is None


# --- what is in a folder --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "artefact", ["pipeline.pkl", "model.pkl", "model.joblib", "x.skops", "model.onnx"]
)
def test_a_ready_artefact_is_a_model(write: Write, find: Find, artefact: str) -> None:
    """One file that is a model needs no code; beside code it is just a file of it."""
    write("Ready", files={artefact: b"x", "notes.txt": "x"})
    assert (find("Ready").fault, find("Ready").artefact, find("Ready").class_name) == (
        None,
        artefact,
        "",
    )
    write("Coded", GOOD, {artefact: b"x"})
    assert find("Coded").artefact == ""


def test_several_artefacts_are_refused(write: Write, find: Find) -> None:
    """Which of them is the model cannot be told."""
    write("Two", files={"a.joblib": b"x", "model.onnx": b"x"})
    assert fault_of(find("Two")).message == "several artefacts and no etls.py: a.joblib, model.onnx"
    assert "if only one of them is the model" in str(fault_of(find("Two")).hint)


def test_a_misspelt_file_beside_an_artefact_is_told(write: Write, find: Find) -> None:
    """The artefact is not served without the code that was meant to be there."""
    write("Churn", files={"etl.py": GOOD, "model.joblib": b"x"})
    assert fault_of(find("Churn")).hint == "rename it to etls.py"


def test_a_folder_is_no_artefact(root: Path, write: Write, find: Find) -> None:
    """A folder with the name of an artefact is refused."""
    write("Odd", files={"model.joblib/part": b"x"})
    assert "model.joblib" in str(find("Odd").fault)


@pytest.mark.parametrize("file", ["etl.py", "ETLs.py", "Etl.py"])
def test_a_misspelt_file_is_told(write: Write, find: Find, file: str) -> None:
    """`etl.py` is clearly meant as `etls.py`."""
    write("Churn", files={file: GOOD})
    assert file in fault_of(find("Churn")).message
    assert fault_of(find("Churn")).hint == "rename it to etls.py"


@pytest.mark.parametrize("file", ["model.pkl", "deep/er/model.pkl", "etls.py", "model.onnx"])
def test_an_lfs_pointer_is_told(root: Path, write: Write, file: str) -> None:
    """A pointer in place of a file breaks that model only."""
    write(
        "Churn", GOOD, {file: "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"}
    )
    write("Other", GOOD)
    churn, other = discover(root)
    assert fault_of(churn).message.startswith(f"LFS pointer: {file}")
    assert other.fault is None


@pytest.mark.parametrize(
    "target",
    ["/etc/passwd", "../../secret", "../Other/etls.py", "inner/../../Other", "loop/../../.."],
)
def test_a_link_out_of_the_folder_is_refused(root: Path, write: Write, target: str) -> None:
    """A link that leads out of the model's folder is named, and what it leads to is not read."""
    folder = write("Churn", GOOD, {"inner/deep/x.txt": "x"})
    write("Other", GOOD)
    (folder / "loop").symlink_to("inner/deep")
    (folder / "data").symlink_to(target)
    churn, other = discover(root)
    assert "symbolic link out of the folder: data -> " in fault_of(churn).message
    assert fault_of(churn).file == "data"
    assert other.fault is None


def test_a_link_within_the_folder_is_fine(write: Write, find: Find) -> None:
    """Links between a folder's own files are part of its version."""
    folder = write("Churn", GOOD, {"v2/model.pkl": b"x"})
    (folder / "model.pkl").symlink_to("v2/model.pkl")
    (folder / "gone").symlink_to("nowhere")
    assert find("Churn").fault is None


def test_a_folder_that_is_a_link_is_refused(root: Path, write: Write, tmp_path: Path) -> None:
    """A folder that stands for another is not followed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "etls.py").write_text(GOOD)
    (root / "Linked").symlink_to(outside)
    [folder] = discover(root)
    assert "symbolic link" in fault_of(folder).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_a_fault(write: Write, find: Find) -> None:
    """A file that cannot be read breaks only its own model."""
    (write("Churn", GOOD) / "etls.py").chmod(0)
    assert "cannot be read" in fault_of(find("Churn")).message


def test_an_etls_that_is_a_folder_is_a_fault(write: Write, find: Find) -> None:
    """A folder in the place of etls.py does not end the discovery of others."""
    write("Churn", files={"etls.py/x": "x"})
    assert "cannot be read" in fault_of(find("Churn")).message
