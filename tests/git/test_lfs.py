"""Git LFS with a real server, giftless, and the real client: logins, places, store, cache."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelsync.backoff import Backoff
from modelsync.deadline import Deadline
from modelsync.errors import SettingsError
from modelsync.git.lfs import fetcher
from modelsync.models.discovery.folders import discover
from modelsync.models.types import Fault, ModelName
from modelsync.settings import Git, Settings
from modelsync.settings.secret import Secret
from modelsync.settings.service import State
from modelsync.sync.sources import CachedSource, GitSource, SingleModel
from tests.fixtures.git import GitServer, Repository
from tests.fixtures.lfs import USER, LfsServer, missing
from tests.fixtures.ssh import SshGitServer
from tests.waiting import patient

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

CHURN, IRIS = b"churn " * 100_000, b"iris"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "RETRY", Backoff(first=0.01, most=0.02))


@pytest.fixture(scope="module")
def lfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LfsServer]:
    with LfsServer(tmp_path_factory.mktemp("lfs") / "server") as server:
        yield server


@pytest.fixture
def repository(lfs: LfsServer, tmp_path: Path) -> Iterator[GitServer]:
    """Two models whose large files were pushed by git-lfs."""
    with GitServer(tmp_path / "models.git") as server:
        server.push({"Churn/etls.py": "x = 1\n", "Iris/etls.py": "x = 1\n"})
        lfs.push(server, {"Churn/model.pkl": CHURN, "Iris/model.bin": IRIS})
        yield server


class Sync:
    """Exports of a repository into a state directory of its own."""

    def __init__(self, folder: Path, repository: Repository, **git: object) -> None:
        self.folder, self.home, self.repository = folder, folder / "home", repository
        url = getattr(repository, "url", str(repository.path))
        given = {"path": url, "protocols": frozenset({"http", "https", "ssh", "file"}), **git}
        self.settings = Settings(git=Git(**given), state=State(home=self.home))  # type: ignore[arg-type]

    def run(self, source: object = None) -> dict[str, tuple[Fault, ...]]:
        """Export the newest commit as a sync does; return the faults of large files."""
        found = source or GitSource(self.settings)
        assert isinstance(found, GitSource | SingleModel)
        deadline = Deadline(patient(30))
        commit = self.repository.git("rev-parse", "main")
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        found.export(commit, self.folder / "out", deadline)
        return dict(found.fetch_objects(commit, self.folder / "out", deadline))

    def file(self, path: str) -> bytes:
        return (self.folder / "out" / path).read_bytes()

    def assert_whole(self) -> None:
        assert self.run() == {}
        assert (self.file("Churn/model.pkl"), self.file("Iris/model.bin")) == (CHURN, IRIS)


def message_of(faults: dict[str, tuple[Fault, ...]]) -> str:
    """The message that both models have."""
    assert set(faults) == {"Churn", "Iris"}
    [text] = {fault.message for found in faults.values() for fault in found}
    return text


# --- logins ---------------------------------------------------------------------------------------


def test_the_login_of_the_repository(lfs: LfsServer, repository: GitServer, tmp_path: Path) -> None:
    """User and token are those of git; the version of a model is that of its pointers."""
    token = lfs.token()
    repository.user, repository.password = USER, token
    one = Sync(tmp_path, repository, user=USER, password=Secret(token), lfs_url=lfs.url)
    one.assert_whole()
    tree = repository.git("rev-parse", "main:Churn")
    versions = GitSource(one.settings).versions(repository.git("rev-parse", "main"), Deadline(30))
    assert versions["Churn"] == tree
    found = {spec.name: spec.fault for spec in discover(tmp_path / "out")}
    assert "LFS" not in str(found)


@pytest.mark.parametrize("seconds", [-60, None])
def test_a_login_that_is_refused(
    lfs: LfsServer, repository: GitServer, tmp_path: Path, seconds: float | None
) -> None:
    """An expired token, and none: the models say so; with a new one in the file they are whole."""
    file = tmp_path / "token"
    file.write_text(lfs.token(seconds=seconds) if seconds else "")
    one = Sync(tmp_path, repository, user=USER, password=Secret(file=file), lfs_url=lfs.url)
    faults = one.run()
    assert "refuses the credentials" in message_of(faults)
    assert all(fault.transient for found in faults.values() for fault in found)
    file.write_text(lfs.token())
    one.assert_whole()


@pytest.mark.skipif(not SshGitServer.available(), reason="no openssh-server here")
def test_over_ssh_the_host_gives_a_token(lfs: LfsServer, tmp_path: Path) -> None:
    """`git-lfs-authenticate` on the host, as GitLab, GitHub and Gitea have it: a URL and a token of
    its own. Then what it says is nonsense, and then it is not there.
    """
    with SshGitServer(tmp_path / "it's models.git") as server:
        server.push({"Churn/etls.py": "x = 1\n", "Iris/etls.py": "x = 1\n"})
        lfs.push(server, {"Churn/model.pkl": CHURN, "Iris/model.bin": IRIS})
        said = f'{{"href": "{lfs.url}/", "header": {{"Authorization": "Bearer {lfs.token()}"}}}}'
        program = server.programs / "git-lfs-authenticate"
        program.write_text(f'#!/bin/sh\n[ "$2" = download ] && [ -d "$1" ] && echo \'{said}\'\n')
        program.chmod(0o755)
        login = {"ssh_key_file": server.key, "known_hosts_file": server.known_hosts}
        url = server.url.replace(" ", "%20")
        one = Sync(tmp_path, server, **login, path=url)
        one.assert_whole()
        assert f"{USER}:" not in str(lfs.requests()[-1])
        shutil.rmtree(one.home / "lfs")
        program.write_text("#!/bin/sh\necho nonsense\n")
        assert "git-lfs-authenticate" in message_of(one.run())
        program.unlink()
        assert "127.0.0.1 cannot be reached" in message_of(one.run())  # where https would be


# --- where the server is --------------------------------------------------------------------------


def test_lfsconfig_on_the_same_host(lfs: LfsServer, repository: GitServer, tmp_path: Path) -> None:
    """`.lfsconfig` in the commit names another port of the host: asked, with the login."""
    repository.push({".lfsconfig": f'# ours\n[lfs]\n\turl = "{lfs.url}/"\n'})
    Sync(tmp_path, repository, user=USER, password=Secret(lfs.token())).assert_whole()


def test_lfsconfig_never_leads_the_login_away(
    lfs: LfsServer, repository: GitServer, tmp_path: Path
) -> None:
    """Another host, a login in the URL, nonsense: nobody is asked, and the models say why; the
    setting for the URL allows it.
    """
    before = len(lfs.requests())
    elsewhere = lfs.url.replace("127.0.0.1", "localhost")
    login = {"user": USER, "password": Secret(lfs.token())}
    one = Sync(tmp_path, repository, **login)
    for text, expected in (
        (f"[lfs]\nurl = {elsewhere}\n", "set MODELSYNC_GIT_LFS_URL"),
        (f"[lfs]\nurl = {lfs.url.replace('//', '//user:secret@')}\n", "holds credentials"),
        ("[lfs]\nurl = ext::sh\n", "can run any command"),
        ("[lfs]\nurl = -x\n", "starts with '-'"),
        ("[lfs\n", ".lfsconfig cannot be read"),
    ):
        repository.push({".lfsconfig": text})
        message = message_of(one.run())
        assert expected in message
        assert "user:secret" not in message
    assert len(lfs.requests()) == before
    Sync(tmp_path, repository, **login, lfs_url=elsewhere).assert_whole()
    on_disk = {"path": str(repository.path), "protocols": frozenset({"file"})}
    with pytest.raises(SettingsError, match="MODELSYNC_GIT_LFS_URL uses http"):
        GitSource(Sync(tmp_path, repository, lfs_url=lfs.url, **on_disk).settings)


def test_a_repository_on_this_machine(
    lfs: LfsServer, repository: GitServer, tmp_path: Path
) -> None:
    """A clone with its large files is its own LFS server; what it lacks is told, and never taken
    from it.
    """
    clone = tmp_path / "clone"
    login = lfs.url.replace("//", f"//{USER}:{lfs.token()}@")
    settings = ["-c", f"lfs.url={login}", "-c", "filter.lfs.smudge=git-lfs smudge -- %f"]
    for command in (
        ["clone", "-q", str(repository.path), str(clone)],
        ["-C", clone, "lfs", "pull"],
    ):
        subprocess.run(["git", *settings, *command], check=True, capture_output=True)
    one = Sync(tmp_path, Repository(clone / ".git"), path=str(clone))
    before = len(lfs.requests())
    one.assert_whole()
    oid = hashlib.sha256(IRIS).hexdigest()
    [theirs] = clone.glob(f".git/lfs/objects/*/*/{oid}")
    shutil.rmtree(one.home / "lfs")
    theirs.write_bytes(b"evil")
    assert set(one.run()) == {"Iris"}
    assert theirs.read_bytes() == b"evil"
    assert one.file("Churn/model.pkl") == CHURN
    assert len(lfs.requests()) == before


# --- the store ------------------------------------------------------------------------------------


def test_what_was_fetched_is_not_fetched_again(
    lfs: LfsServer, repository: GitServer, tmp_path: Path
) -> None:
    """A second sync asks for nothing; a new commit asks for what is new; an object that the disk
    has damaged is fetched again; objects of old commits are removed.
    """
    login = {"user": USER, "password": Secret(lfs.token()), "lfs_url": lfs.url}
    one = Sync(tmp_path, repository, **login)
    one.assert_whole()
    before = len(lfs.requests())
    one.assert_whole()
    assert len(lfs.requests()) == before
    [kept] = (one.home / "lfs/objects").rglob(hashlib.sha256(CHURN).hexdigest())
    kept.write_bytes(bytes(len(CHURN)))
    one.assert_whole()
    assert len(lfs.requests()) == before + 2
    one.settings = replace(one.settings, sync=replace(one.settings.sync, keep_releases=2))
    for number in range(3):
        lfs.push(repository, {"Iris/model.bin": b"iris %d" % number})
        before = len(lfs.requests())
        assert one.run() == {}
        assert len(lfs.requests()) == before + 2
        assert one.file("Iris/model.bin") == b"iris %d" % number
    objects = sorted(path.read_bytes() for path in (one.home / "lfs/objects").rglob("*/*/*"))
    assert objects == [CHURN, b"iris 1", b"iris 2"]
    repository.push({"Iris/model.bin": None, "Churn/model.pkl": None})
    assert one.run() == {}
    assert len(list((one.home / "lfs/objects").rglob("*/*/*"))) == 2


def test_one_model_of_many(lfs: LfsServer, repository: GitServer, tmp_path: Path) -> None:
    """A job that fits one model fetches the files of that one."""
    one = Sync(tmp_path, repository, user=USER, password=Secret(lfs.token()), lfs_url=lfs.url)
    source = SingleModel(GitSource(one.settings), ModelName("Iris"))
    assert one.run(source) == {}
    assert one.file("Iris/model.bin") == IRIS
    assert len(list((one.home / "lfs/objects").rglob("*/*/*"))) == 1


def test_pods_start_from_the_cache(lfs: LfsServer, repository: GitServer, tmp_path: Path) -> None:
    """What one pod has fetched is in the cache: another asks nobody for it, also while git is away;
    a damaged object of the cache is fetched instead.
    """
    git = {"user": USER, "password": Secret(lfs.token()), "lfs_url": lfs.url}
    git["cache"] = tmp_path / "cache"
    Sync(tmp_path / "first", repository, **git).assert_whole()
    before = len(lfs.requests())
    Sync(tmp_path / "second", repository, **git).assert_whole()
    third = Sync(tmp_path / "third", repository, **git)
    with repository.away():
        assert third.run(CachedSource(third.settings)) == {}
        assert third.file("Churn/model.pkl") == CHURN
    assert len(lfs.requests()) == before
    [cached] = (tmp_path / "cache").rglob(f"lfs/objects/*/*/{hashlib.sha256(IRIS).hexdigest()}")
    cached.write_bytes(b"evil")
    fourth = Sync(tmp_path / "fourth", repository, **git)
    with repository.away():
        faults = fourth.run(CachedSource(fourth.settings))
        assert "the cache does not hold it" in str(faults["Iris"][0])
        assert set(faults) == {"Iris"}
    Sync(tmp_path / "fifth", repository, **git).assert_whole()
    assert len(lfs.requests()) == before + 2


def test_missing_and_altered_objects(lfs: LfsServer, repository: GitServer, tmp_path: Path) -> None:
    """On the server itself an object is gone or other bytes stand there: its folder's fault."""
    stored = [lfs.object(CHURN), lfs.object(IRIS)]
    one = Sync(tmp_path, repository, user=USER, password=Secret(lfs.token()), lfs_url=lfs.url)
    stored[0].unlink()
    assert "does not have it" in str(one.run()["Churn"][0])
    assert one.file("Iris/model.bin") == IRIS
    stored[0].write_bytes(bytes(len(CHURN)))
    faults = one.run()
    assert "SHA-256" in str(faults["Churn"][0])
    assert set(faults) == {"Churn"}
    stored[0].write_bytes(CHURN)
    one.assert_whole()
