"""A damaged mirror is made anew, a full disk is reported, a kill at any step heals."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from modelsync.deadline import Deadline
from modelsync.errors import StorageFailed, SyncError
from modelsync.git.mirror import Mirror
from modelsync.releases.store import Releases
from modelsync.settings import Git
from tests.fixtures.git import GitServer
from tests.releases.test_store import dies_before_step
from tests.waiting import patient


def sync(server: GitServer, home: Path, target: Path, seconds: float = 30) -> str:
    """Find the commit, get it, write it into `target`."""
    mirror = Mirror(home, Git(path=server.url, protocols=frozenset({"http"})))
    deadline = Deadline(patient(seconds))
    commit = mirror.resolve(deadline)
    mirror.fetch(commit, deadline)
    mirror.versions(commit, deadline)
    mirror.export(commit, target, deadline)
    return commit


def _packs(mirror: Path) -> list[Path]:
    return [*mirror.glob("objects/pack/*.pack"), *mirror.glob("objects/pack/*.idx")]


def _overwrite(paths: list[Path], content: bytes) -> None:
    for path in paths:
        path.chmod(0o600)
        path.write_bytes(content)


def contents(path: Path) -> dict[str, bytes]:
    """The files below a path, or the file that is there."""
    files = [path, *path.rglob("*")]
    return {str(one.relative_to(path)): one.read_bytes() for one in files if one.is_file()}


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink()


def _replace(mirror: Path, content: str | None) -> None:
    """A file with this content in the place of the mirror, an empty folder where it is None."""
    shutil.rmtree(mirror)
    if content is None:
        mirror.mkdir()
    else:
        mirror.write_text(content)


def _flip(path: Path) -> None:
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "objects gone": lambda mirror: shutil.rmtree(mirror / "objects"),
    "packs gone": lambda mirror: _remove(_packs(mirror)),
    "packs empty": lambda mirror: _overwrite(_packs(mirror), b""),
    "packs garbage": lambda mirror: _overwrite(_packs(mirror), b"garbage" * 100),
    "bit flipped": lambda mirror: _flip(next(mirror.glob("objects/pack/*.pack"))),
    "index flipped": lambda mirror: _flip(next(mirror.glob("objects/pack/*.idx"))),
    "HEAD garbage": lambda mirror: (mirror / "HEAD").write_bytes(b"\0\0"),
    "HEAD gone": lambda mirror: (mirror / "HEAD").unlink(),
    "config garbage": lambda mirror: (mirror / "config").write_bytes(b"[core\nx"),
    "refs garbage": lambda mirror: _overwrite([*mirror.glob("refs/kept/*")], b"x"),
    "packed-refs garbage": lambda mirror: (mirror / "packed-refs").write_bytes(b"\0garbage\n"),
    "shallow garbage": lambda mirror: (mirror / "shallow").write_bytes(b"garbage\n"),
    "empty folder": lambda mirror: _replace(mirror, None),
    "a file in its place": lambda mirror: _replace(mirror, "x"),
}


@pytest.mark.parametrize("moved", [False, True], ids=["same commit", "new commit"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_mirror_is_rebuilt(
    server: GitServer, tmp_path: Path, damage: str, moved: bool
) -> None:
    """The next sync gives exactly the commit's files, whatever is missing or overwritten."""
    server.push({"Churn/model.pkl": os.urandom(20_000)})
    sync(server, tmp_path / "home", tmp_path / "out")
    whole = contents(tmp_path / "home/repo.git")
    DAMAGE[damage](tmp_path / "home/repo.git")
    assert contents(tmp_path / "home/repo.git") != whole
    if moved:
        server.push({"Iris/etls.py": "iris = 2\n"})
    wanted = sync(server, tmp_path / "home", tmp_path / "out")
    for name in ("Churn/model.pkl", "Churn/etls.py", "Iris/etls.py"):
        content = subprocess.run(
            ["git", f"--git-dir={server.path}", "cat-file", "blob", f"{wanted}:{name}"],
            capture_output=True,
            check=True,
        )
        assert (tmp_path / "out" / name).read_bytes() == content.stdout
    assert [item.name for item in (tmp_path / "home").iterdir()] == ["repo.git"]


def test_stale_locks_and_half_packs_are_cleared(server: GitServer, tmp_path: Path) -> None:
    """What a killed git leaves neither stops the next one nor stays."""
    sync(server, tmp_path / "home", tmp_path / "out")
    mirror = tmp_path / "home/repo.git"
    for name in (
        "HEAD.lock",
        "config.lock",
        "shallow.lock",
        "packed-refs.lock",
        "objects/pack/tmp_pack_x",
    ):
        (mirror / name).write_text("x")
    new = server.push({"Churn/etls.py": "churn = 2"})
    (mirror / f"refs/kept/{new}.lock").write_text("x")
    assert sync(server, tmp_path / "home", tmp_path / "out") == new
    assert list(mirror.rglob("*.lock")) == []
    assert list(mirror.rglob("tmp_*")) == []


def test_a_damaged_remote_is_not_rebuilt_for_ever(server: GitServer, tmp_path: Path) -> None:
    """An object that the remote itself lacks is an error that says so, after one new mirror;
    nothing is written.
    """
    sha = server.git("rev-parse", "main:Churn/etls.py")
    server.git("repack", "-adq")
    pack = next(server.path.glob("objects/pack/*.pack"))
    content = pack.read_bytes()
    for path in [*server.path.glob("objects/pack/*")]:
        path.unlink()
    server.git("unpack-objects", "-q", stdin=content)
    (server.path / "objects" / sha[:2] / sha[2:]).unlink()
    with pytest.raises(SyncError):
        sync(server, tmp_path / "home", tmp_path / "out", seconds=4)
    assert not (tmp_path / "out").exists()


def test_the_remote_may_be_away_while_the_mirror_is_damaged(
    server: GitServer, tmp_path: Path
) -> None:
    """No new mirror then; when it is back, there is one."""
    commit = sync(server, tmp_path / "home", tmp_path / "out")
    shutil.rmtree(tmp_path / "home/repo.git/objects")
    server.fault = "403"
    mirror = Mirror(tmp_path / "home", Git(path=server.url, protocols=frozenset({"http"})))
    with pytest.raises(SyncError):
        mirror.export(commit, tmp_path / "out2", Deadline(patient(5)))
    assert not (tmp_path / "out2").exists()
    server.fault = ""
    assert sync(server, tmp_path / "home", tmp_path / "out") == commit


# --- the disk ---


def _mount(folder: Path, options: str) -> bool:
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    return not done.returncode


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "small"
    if not _mount(folder, "size=2m"):
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(server: GitServer, tmp_path: Path, small: Path) -> None:
    """While fetching, and while exporting: StorageFailed, the half export is removed; with space,
    it goes on.
    """
    sync(server, small / "home", small / "out")
    server.push({"Churn/model.pkl": os.urandom(3_000_000)})
    with pytest.raises(StorageFailed, match="No space"):
        sync(server, small / "home", small / "out2")
    assert not (small / "out2").exists()
    server.push({"Churn/model.pkl": b"\0" * 3_000_000})  # small as a pack, too large as a file
    with pytest.raises(StorageFailed, match="No space"):
        sync(server, small / "home", small / "out2")
    assert not (small / "out2").exists()
    wanted = server.push({"Churn/model.pkl": "small"})
    assert sync(server, small / "home", small / "out2") == wanted


def test_a_read_only_state_directory(server: GitServer, tmp_path: Path, small: Path) -> None:
    """StorageFailed, and once it can be written again, everything works."""
    sync(server, small / "home", small / "out")
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    with pytest.raises(StorageFailed, match="Read-only"):
        sync(server, small / "home", tmp_path / "out")
    subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    assert sync(server, small / "home", tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_directory_of_somebody_else(server: GitServer, tmp_path: Path) -> None:
    """StorageFailed, and once it can be written again, everything works."""
    sync(server, tmp_path / "home", tmp_path / "out")
    (tmp_path / "home").chmod(0o500)
    with pytest.raises(StorageFailed, match="Permission denied"):
        sync(server, tmp_path / "home", tmp_path / "out")
    (tmp_path / "home").chmod(0o700)
    assert sync(server, tmp_path / "home", tmp_path / "out")


def test_a_file_in_place_of_the_state_directory(server: GitServer, tmp_path: Path) -> None:
    """StorageFailed, with no path in the message."""
    (tmp_path / "home").touch()
    with pytest.raises(StorageFailed) as caught:
        sync(server, tmp_path / "home", tmp_path / "out")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.long
def test_killed_at_any_step_the_next_sync_heals(server: GitServer, tmp_path: Path) -> None:
    """For every n: killed before its n-th operation on files, the next sync gives the commit's
    files.
    """
    number, died = 0, True
    while died:
        home, target = tmp_path / f"home{number}", tmp_path / f"out{number}"
        died = dies_before_step(number, partial(sync, server, home, target))
        assert sync(server, home, target)
        assert (target / "Iris/etls.py").read_text() == "iris = 1\n"
        Releases(home).sweep(3)
        assert [item.name for item in home.iterdir()] == ["repo.git"], number
        number += 1
    assert number > 15
