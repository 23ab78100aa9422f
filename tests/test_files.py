"""Files: hashes as git's, writes that are whole or not at all."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from modelsync.errors import StorageFailed
from modelsync.files import (
    copy_tree,
    flush,
    remove_tree,
    replace_symlink,
    storage,
    tree_hash,
    write_atomically,
)


def git_tree_hash(folder: Path) -> str:
    """What git says: a fresh index of the folder, written as a tree."""
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_DIR": f"{folder}.git",
        "GIT_WORK_TREE": str(folder),
    }
    for command in (["init", "-q"], ["add", "-A", "-f", "."], ["write-tree"]):
        done = subprocess.run(
            ["git", *command], cwd=folder, env=environ, capture_output=True, text=True, check=True
        )
    return done.stdout.strip()


def fill(folder: Path) -> None:
    """Everything that sorts, hashes or names oddly in a git tree."""
    (folder / "sub" / "deeper").mkdir(parents=True)
    (folder / "empty" / "also_empty").mkdir(parents=True)
    (folder / "etls.py").write_text("x = 1\n")
    (folder / "model.pkl").write_bytes(bytes(range(256)) * 20_000)
    (folder / "nothing").touch()
    for name in ("sub.py", "sub-", "sub0", "SUB", "-rf", "two words", "new\nline", "é", ".hidden"):
        (folder / name).write_text(name)
    (folder / os.fsdecode(b"\xff\xfe")).write_bytes(b"not utf-8")
    (folder / "sub" / "deeper" / "run").write_text("#!/bin/sh\n")
    (folder / "sub" / "deeper" / "run").chmod(0o755)
    (folder / "group_only").write_text("x")
    (folder / "group_only").chmod(0o654)
    (folder / "link").symlink_to("sub/deeper")
    (folder / "dangling").symlink_to("../nowhere")


def test_tree_hash_is_that_of_git(tmp_path: Path) -> None:
    """The hash of a folder equals `git write-tree` of it, for every kind of entry, sorting trap and
    odd name.
    """
    folder = tmp_path / "Churn"
    fill(folder)
    with socket.socket(socket.AF_UNIX) as unseen:
        here = Path.cwd()
        os.chdir(folder)  # a socket's path is limited to 107 bytes
        try:
            unseen.bind("socket")
        finally:
            os.chdir(here)
        assert tree_hash(folder) == git_tree_hash(folder)


def test_tree_hash_of_nothing_is_gits_empty_tree(tmp_path: Path) -> None:
    """An empty folder, and one that holds only empty folders, is git's well-known empty tree."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert tree_hash(tmp_path) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_running_a_model_does_not_change_its_version(tmp_path: Path) -> None:
    """Byte code and a nested `.git` do not count."""
    fill(tmp_path / "Churn")
    before = tree_hash(tmp_path / "Churn")
    (tmp_path / "Churn" / "__pycache__").mkdir()
    (tmp_path / "Churn" / "__pycache__" / "etls.cpython-311.pyc").write_bytes(b"x")
    (tmp_path / "Churn" / "etls.pyc").write_bytes(b"x")
    (tmp_path / "Churn" / "sub" / ".git").mkdir()
    (tmp_path / "Churn" / "sub" / ".git" / "HEAD").write_text("x")
    assert tree_hash(tmp_path / "Churn") == before


@pytest.mark.parametrize("change", ["content", "name", "mode", "link"])
def test_a_change_changes_the_version(tmp_path: Path, change: str) -> None:
    """Content, name, the executable bit and a link's target are each part of the version."""
    fill(tmp_path / "Churn")
    before = tree_hash(tmp_path / "Churn")
    file = tmp_path / "Churn" / "etls.py"
    match change:
        case "content":
            file.write_text("x = 2\n")
        case "name":
            file.rename(file.with_name("etl.py"))
        case "mode":
            file.chmod(0o755)
        case "link":
            replace_symlink(tmp_path / "Churn" / "link", "sub")
    assert tree_hash(tmp_path / "Churn") != before


def test_readers_see_whole_files_while_writers_race(tmp_path: Path) -> None:
    """With several writers at once a reader sees one writer's bytes, whole, and no temporary file
    is left.
    """
    path = tmp_path / "status.json"
    contents = [bytes([letter]) * 50_000 for letter in b"abc"]
    write_atomically(path, contents[0])

    def write(content: bytes) -> None:
        for _ in range(20):
            write_atomically(path, content)

    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for writer in writers:
        writer.start()
    seen = {path.read_bytes()}
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_bytes())
    assert seen <= set(contents)
    assert len(seen) > 1  # it was written while it was read
    for writer in writers:
        writer.join()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    """Where the rename cannot be done, what was there stays and the temporary name is gone."""
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "taken", b"x")
    with pytest.raises(OSError, match="directory"):
        replace_symlink(tmp_path / "taken", "elsewhere")
    assert [item.name for item in tmp_path.iterdir()] == ["taken"]


def test_a_symlink_is_replaced_in_one_step(tmp_path: Path) -> None:
    """At no moment is the link missing or dangling."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    replace_symlink(tmp_path / "current", "one")

    def flip() -> None:
        for turn in range(1000):
            replace_symlink(tmp_path / "current", ("two", "one")[turn % 2])

    seen: set[str] = set()
    flipping = threading.Thread(target=flip)
    flipping.start()
    while flipping.is_alive():
        seen.add((tmp_path / "current" / "file").read_text())
    flipping.join()
    assert seen == {"one", "two"}
    assert sorted(item.name for item in tmp_path.iterdir()) == ["current", "one", "two"]


def test_a_copy_has_the_same_version_and_is_independent(tmp_path: Path) -> None:
    """A copy hashes like its source, holds no byte code, and writing into one does not change the
    other.
    """
    fill(tmp_path / "Churn")
    (tmp_path / "Churn" / "dangling").unlink()
    (tmp_path / "Churn" / "__pycache__").mkdir()
    version = tree_hash(tmp_path / "Churn")
    copy_tree(tmp_path / "Churn", tmp_path / "copy")
    assert tree_hash(tmp_path / "copy") == version
    assert not (tmp_path / "copy" / "__pycache__").exists()
    with (tmp_path / "copy" / "model.pkl").open("ab") as file:
        file.write(b"more")
    assert tree_hash(tmp_path / "Churn") == version


def test_a_link_out_of_a_copied_folder_still_points_there(tmp_path: Path) -> None:
    """A data scientist's link to an artefact elsewhere on the laptop works in the release too."""
    (tmp_path / "artefacts").mkdir()
    (tmp_path / "artefacts" / "model.pkl").write_text("weights")
    (tmp_path / "models" / "Churn").mkdir(parents=True)
    (tmp_path / "models" / "Churn" / "model.pkl").symlink_to("../../artefacts/model.pkl")
    copy_tree(tmp_path / "models" / "Churn", tmp_path / "copy")
    assert (tmp_path / "copy" / "model.pkl").read_text() == "weights"


def test_remove_tree_removes_whatever_is_there(tmp_path: Path) -> None:
    """`remove_tree` removes a folder, also a read-only one, a file and a link, if any is there."""
    fill(tmp_path / "folder")
    (tmp_path / "folder" / "sub" / "deeper").chmod(0o500)
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    (tmp_path / "file").touch()
    for name in ("folder", "link", "file", "missing"):
        remove_tree(tmp_path / name)
    assert [item.name for item in tmp_path.iterdir()] == ["kept"]


def test_flush_reaches_the_disk(tmp_path: Path) -> None:
    """Flushing works on this platform, and a folder that is not there is an error."""
    flush(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "missing")


def test_storage_faults_are_named_without_a_path(tmp_path: Path) -> None:
    """What goes wrong in the state directory is StorageFailed, and its message shows no path."""
    with pytest.raises(StorageFailed) as caught, storage():
        write_atomically(tmp_path / "missing" / "status.json", b"x")
    assert str(tmp_path) not in str(caught.value)
    assert "No such file or directory" in str(caught.value)
