"""The mirror follows the remote: every way to name a commit, and every way in which history can
change.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.deadline import Deadline
from modelsync.errors import NoModels, RefNotFound
from modelsync.files import tree_hash
from modelsync.git.mirror import Mirror
from modelsync.settings import Git
from tests.fixtures.git import GitServer, executable, link
from tests.waiting import patient


def mirror_of(server: GitServer, home: Path, ref: str = "HEAD", subdir: str = "") -> Mirror:
    return Mirror(home, Git(path=server.url, ref=ref, subdir=subdir, protocols=frozenset({"http"})))


def sync(mirror: Mirror, target: Path) -> str:
    """What an update does: find the commit, get it, write it."""
    deadline = Deadline(patient(30))
    commit = mirror.resolve(deadline)
    mirror.fetch(commit, deadline)
    mirror.export(commit, target, deadline)
    return commit


def test_a_push_is_exported_byte_for_byte(server: GitServer, tmp_path: Path) -> None:
    """Model folders are written as committed, with executable bits and inner links; files beside
    them are not.
    """
    data = bytes(range(256)) * 5000
    server.push({
        "Churn/model.pkl": data, "Churn/crlf.txt": b"a\r\nb\r\n",
        "Churn/run": executable("#!/bin/sh\n"),
        "Churn/deep/er/file": "x", "Churn/latest": link("deep/er/file"),
        ".github/workflows/ci.yml": "x",
    })  # fmt: skip
    mirror = mirror_of(server, tmp_path / "home")
    commit = sync(mirror, tmp_path / "out")
    assert sorted(item.name for item in (tmp_path / "out").iterdir()) == ["Churn", "Iris"]
    assert (tmp_path / "out/Churn/model.pkl").read_bytes() == data
    assert (tmp_path / "out/Churn/crlf.txt").read_bytes() == b"a\r\nb\r\n"
    assert (tmp_path / "out/Churn/latest").read_text() == "x"
    versions = mirror.versions(commit, Deadline(patient(30)))
    assert versions == {name: tree_hash(tmp_path / "out" / name) for name in ("Churn", "Iris")}
    assert versions["Churn"] == server.git("rev-parse", "main:Churn")


def test_a_version_changes_only_with_its_folder(server: GitServer, tmp_path: Path) -> None:
    """A commit that touches one folder, or only the README, leaves the versions of the others as
    they are.
    """
    mirror = mirror_of(server, tmp_path / "home")
    seen = []
    for change in ({}, {"README.md": "other"}, {"Iris/etls.py": "iris = 2"}):
        commit = server.push(change)
        mirror.fetch(commit, Deadline(patient(30)))
        seen.append(mirror.versions(commit, Deadline(patient(30))))
    assert seen[0] == seen[1]
    assert seen[1]["Churn"] == seen[2]["Churn"]
    assert seen[1]["Iris"] != seen[2]["Iris"]


@pytest.mark.parametrize(
    "ref", ["HEAD", "main", "refs/heads/main", "feature/x", "v1", "v2", "full", "short"]
)
def test_every_way_to_name_a_commit(server: GitServer, tmp_path: Path, ref: str) -> None:
    """HEAD, a branch (also with a slash), a tag, an annotated tag (its commit), a full and an
    abbreviated hash.
    """
    old = server.git("rev-parse", "main")
    server.tag("v1", old)
    server.tag("v2", old, annotated=True)
    feature = server.push({"Churn/etls.py": "feature = 1"}, branch="feature/x", onto=old)
    new = server.push({"Churn/etls.py": "churn = 2"})
    wanted = {"feature/x": feature, "v1": old, "v2": old, "full": old, "short": old}.get(ref, new)
    named = {"full": old, "short": old[:8]}.get(ref, ref)
    assert sync(mirror_of(server, tmp_path / "home", named), tmp_path / "out") == wanted
    content = {old: "churn = 1\n", new: "churn = 2", feature: "feature = 1"}
    assert (tmp_path / "out/Churn/etls.py").read_text() == content[wanted]


def test_an_abbreviated_hash_in_the_history_is_found(server: GitServer, tmp_path: Path) -> None:
    """A short hash that no branch points to is looked up in the whole history, and one of nothing
    is refused.
    """
    old = server.git("rev-parse", "main")
    for number in range(3):
        server.push({"Churn/etls.py": f"churn = {number}"})
    mirror = mirror_of(server, tmp_path / "home")
    sync(mirror, tmp_path / "out")  # the mirror is shallow now
    assert sync(mirror_of(server, tmp_path / "home", old[:9]), tmp_path / "out2") == old
    with pytest.raises(RefNotFound):
        mirror_of(server, tmp_path / "home", "0123456").resolve(Deadline(patient(30)))


def test_a_branch_goes_before_a_tag_of_the_same_name(server: GitServer, tmp_path: Path) -> None:
    """As `git clone --branch` does."""
    server.tag("main", server.git("rev-parse", "main"))
    new = server.push({"Churn/etls.py": "churn = 2"})
    assert mirror_of(server, tmp_path / "home", "main").resolve(Deadline(patient(30))) == new


def test_nothing_is_fetched_when_the_ref_did_not_move(server: GitServer, tmp_path: Path) -> None:
    """One `ls-remote` tells, and that is all the traffic there is."""
    mirror = mirror_of(server, tmp_path / "home", "main")
    sync(mirror, tmp_path / "out")
    server.requests.clear()
    sync(mirror, tmp_path / "out")
    assert [(method, path.split("/")[-1]) for method, path, _ in server.requests] == [
        ("GET", "refs?service=git-upload-pack"),
        ("POST", "git-upload-pack"),
    ]


def test_rewritten_history_gives_the_remotes_tip(server: GitServer, tmp_path: Path) -> None:
    """After a force-push of unrelated history, a moved tag and a moved annotated tag: the tip,
    exactly.
    """
    server.tag("v1")
    mirrors = {ref: mirror_of(server, tmp_path / "home", ref) for ref in ("main", "v1")}
    for mirror in mirrors.values():
        sync(mirror, tmp_path / "out")
    forced = server.push({"Fraud/etls.py": "fraud = 1"}, onto=None)
    server.tag("v1", forced, annotated=True)
    for mirror in mirrors.values():
        assert sync(mirror, tmp_path / "out") == forced
        assert [item.name for item in (tmp_path / "out").iterdir()] == ["Fraud"]


def test_a_deleted_branch_is_reported_and_comes_back(server: GitServer, tmp_path: Path) -> None:
    """A branch that went away is RefNotFound, naming it; made again, the next sync has it."""
    server.push({"Churn/etls.py": "x"}, branch="live")
    mirror = mirror_of(server, tmp_path / "home", "live")
    sync(mirror, tmp_path / "out")
    server.git("branch", "-D", "live")
    with pytest.raises(RefNotFound, match="'live'"):
        mirror.resolve(Deadline(patient(30)))
    again = server.push({"Churn/etls.py": "y"}, branch="live")
    assert sync(mirror, tmp_path / "out") == again


def test_an_empty_repository_is_said_to_be_empty(tmp_path: Path) -> None:
    """Nothing pushed yet is a state of its own, not a crash."""
    with GitServer(tmp_path / "empty.git") as server, pytest.raises(RefNotFound, match="empty"):
        mirror_of(server, tmp_path / "home").resolve(Deadline(patient(30)))


@pytest.mark.parametrize("commit", ["1" * 40, "blob", "tree"])
def test_a_hash_that_is_no_commit_is_refused(
    server: GitServer, tmp_path: Path, commit: str
) -> None:
    """A commit that the remote lacks, and the hash of something else, are RefNotFound."""
    sha = {
        "blob": server.git("rev-parse", "main:README.md"),
        "tree": server.git("rev-parse", "main:Churn"),
    }
    with pytest.raises(RefNotFound):
        mirror_of(server, tmp_path / "home").fetch(sha.get(commit, commit), Deadline(patient(30)))


def test_models_in_a_subdirectory(server: GitServer, tmp_path: Path) -> None:
    """With MODELSYNC_GIT_SUBDIR only the folders directly below it are models; a missing one says
    so.
    """
    commit = server.push(
        {"a/b/Fraud/etls.py": "fraud = 1", "a/b/notes.txt": "x", "a/Other/etls.py": "x"}
    )
    mirror = mirror_of(server, tmp_path / "home", subdir="a/b")
    sync(mirror, tmp_path / "out")
    assert [item.name for item in (tmp_path / "out").iterdir()] == ["Fraud"]
    assert list(mirror.versions(commit, Deadline(patient(30)))) == ["Fraud"]
    with pytest.raises(NoModels, match="MODELSYNC_GIT_SUBDIR"):
        sync(mirror_of(server, tmp_path / "home", subdir="a/c"), tmp_path / "out")


def test_the_folder_that_holds_models_is_suggested(server: GitServer, tmp_path: Path) -> None:
    """For a repository whose models are one level down, its folder can be named in the error's
    hint.
    """
    commit = server.push(
        {"models_serve/Fraud/etls.py": "x", "lib/x/y/etls.py": "x", "top/etls.py": "x"}, onto=None
    )
    mirror = mirror_of(server, tmp_path / "home")
    mirror.fetch(commit, Deadline(patient(30)))
    assert mirror.suggested_subdir(commit, Deadline(patient(30))) == "models_serve"


def test_the_mirror_does_not_grow_for_ever(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packs of old commits are put together and what no longer matters goes; the wanted commit
    stays whole.
    """
    monkeypatch.setattr("modelsync.git.maintenance.PACKS", 3)
    mirror = mirror_of(server, tmp_path / "home")
    for number in range(6):
        server.push({"Churn/model.pkl": str(number) * 1000})
        sync(mirror, tmp_path / "out")
        assert (tmp_path / "out/Churn/model.pkl").read_text() == str(number) * 1000
    assert len(list((tmp_path / "home/repo.git/objects/pack").glob("*.pack"))) <= 4


def test_a_server_of_plain_files_works(server: GitServer, tmp_path: Path) -> None:
    """A "dumb" HTTP server can give no single commit, so all is fetched; pushes arrive all the
    same.
    """
    mirror = mirror_of(server, tmp_path / "home", "main")
    server.dumb = True
    for number in range(2):
        wanted = server.push({"Churn/etls.py": f"churn = {number}"})
        server.git("update-server-info")
        assert sync(mirror, tmp_path / "out") == wanted
        assert (tmp_path / "out/Churn/etls.py").read_text() == f"churn = {number}"


def test_a_fetch_leaves_no_litter(server: GitServer, tmp_path: Path) -> None:
    """After a sync the state directory holds the mirror and nothing else."""
    sync(mirror_of(server, tmp_path / "home"), tmp_path / "out")
    assert [item.name for item in (tmp_path / "home").iterdir()] == ["repo.git"]
