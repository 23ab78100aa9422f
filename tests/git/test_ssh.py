"""A remote over ssh: keys and host keys, as they come and as they do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync.errors import AuthFailed, UntrustedRemote
from modelsync.settings import Git
from tests.fixtures.ssh import SshGitServer
from tests.git.syncing import assert_clean, sync

pytestmark = pytest.mark.skipif(
    not SshGitServer.available(), reason="no openssh-server, or no login shell for this user"
)


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SshGitServer]:
    with SshGitServer(tmp_path / "it's a repo.git") as server:
        server.push({"Churn/etls.py": "x"})
        yield server


def test_a_key_as_kubernetes_mounts_it(ssh: SshGitServer, tmp_path: Path) -> None:
    """A group-readable key without a last line break, in a folder with blanks, works."""
    folder = tmp_path / "mounted secrets"
    folder.mkdir()
    (folder / "id").write_text(ssh.key.read_text().rstrip())
    (folder / "id").chmod(0o440)
    (folder / "known").write_text(ssh.known_hosts.read_text())
    git = Git(
        path=ssh.url.replace(" ", "%20"),
        ssh_key_file=folder / "id",
        known_hosts_file=folder / "known",
    )
    assert sync(git, tmp_path) == ssh.git("rev-parse", "main")
    assert_clean(tmp_path)


def test_unknown_and_changed_host_keys_are_refused(ssh: SshGitServer, tmp_path: Path) -> None:
    """No list, an empty list, another key: UntrustedRemote each time, and the list is never added
    to.
    """
    url = ssh.url.replace(" ", "%20")
    with pytest.raises(UntrustedRemote, match="MODELSYNC_GIT_KNOWN_HOSTS_FILE"):
        sync(Git(path=url, ssh_key_file=ssh.key), tmp_path)
    git = Git(path=url, ssh_key_file=ssh.key, known_hosts_file=ssh.known_hosts)
    ssh.known_hosts.write_text("")
    with pytest.raises(UntrustedRemote):
        sync(git, tmp_path)
    assert ssh.known_hosts.read_text() == ""
    ssh.trust("other_host_key")
    with pytest.raises(UntrustedRemote):
        sync(git, tmp_path)


@pytest.mark.parametrize("key", ["other_key", "missing", "garbage"])
def test_a_key_that_does_not_fit(ssh: SshGitServer, tmp_path: Path, key: str) -> None:
    """A key that the server does not know, none at the path, and one that is no key: AuthFailed,
    without a path.
    """
    (ssh.key.parent / "garbage").write_text("no key")
    git = Git(
        path=ssh.url.replace(" ", "%20"),
        ssh_key_file=ssh.key.with_name(key),
        known_hosts_file=ssh.known_hosts,
    )
    with pytest.raises(AuthFailed) as caught:
        sync(git, tmp_path)
    assert str(tmp_path) not in str(caught.value)


def test_a_missing_repository_over_ssh(ssh: SshGitServer, tmp_path: Path) -> None:
    """The key works and there is no such repository: the message says both possibilities."""
    git = Git(
        path=f"{ssh.url.rsplit('/', 1)[0]}/none.git",
        ssh_key_file=ssh.key,
        known_hosts_file=ssh.known_hosts,
    )
    with pytest.raises(AuthFailed, match="no repository"):
        sync(git, tmp_path)
