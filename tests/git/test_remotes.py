"""Remotes that refuse, hang, lie or change: the right error, in time, without a secret, and no
process left.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from modelsync.deadline import Deadline
from modelsync.errors import (
    AuthFailed,
    RefNotFound,
    RemoteUnreachable,
    SyncError,
    SyncTimeout,
    UntrustedRemote,
)
from modelsync.git.mirror import Mirror
from modelsync.git.retries import retried
from modelsync.settings import Git, Secret
from tests.fixtures.git import Fault, GitServer
from tests.git.syncing import assert_clean, git_of, processes_of, sync
from tests.waiting import patient, told, until

# --- not there, slow, broken ---


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("hang", SyncError), ("trickle", SyncError), ("reset", RemoteUnreachable),
        ("500", RemoteUnreachable),
        ("503", RemoteUnreachable), ("403", AuthFailed), ("404", AuthFailed),
    ],
)  # fmt: skip
def test_a_remote_that_fails(
    server: GitServer, tmp_path: Path, fault: Fault, error: type[SyncError]
) -> None:
    """Every way to fail ends in time with its reason; the next sync of the same mirror works."""
    sync(git_of(server), tmp_path)
    server.fault = fault
    began = time.monotonic()
    with pytest.raises(error) as caught:
        sync(git_of(server), tmp_path, seconds=3)
    assert caught.value.reason in {"unreachable", "timeout", "auth"}
    assert time.monotonic() - began < patient(13)
    assert str(tmp_path) not in str(caught.value)
    assert_clean(tmp_path)
    server.fault = ""
    wanted = server.push({"Churn/etls.py": "churn = 2"})
    assert sync(git_of(server), tmp_path) == wanted


@pytest.mark.parametrize("fault", ["hang", "trickle"])
def test_a_remote_that_fails_during_the_fetch(
    server: GitServer, tmp_path: Path, fault: Fault
) -> None:
    """The deadline is for the whole: a fetch that hangs is killed with all of its helpers, and
    leaves no litter.
    """
    server.fault = fault
    deadline = Deadline(patient(2))
    mirror = Mirror(tmp_path / "home", git_of(server))
    with pytest.raises(SyncError):
        mirror.fetch("1" * 40, deadline)
    assert_clean(tmp_path)


def test_a_port_where_nobody_listens(tmp_path: Path) -> None:
    """Refused is unreachable, and worth another try."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    git = Git(path=f"http://127.0.0.1:{port}/x.git", protocols=frozenset({"http"}))
    with pytest.raises(RemoteUnreachable, match=r"refused|reach"):
        sync(git, tmp_path, seconds=1)


def test_a_host_that_nobody_knows(tmp_path: Path) -> None:
    """A name that does not resolve is unreachable."""
    with pytest.raises(SyncError) as caught:
        sync(Git(path="https://nowhere.invalid/x.git"), tmp_path, seconds=3)
    assert caught.value.reason in {"unreachable", "timeout"}


def test_a_passing_fault_is_tried_again(server: GitServer, tmp_path: Path) -> None:
    """A remote that is back within the deadline costs a retry, not a sync."""
    server.fault = "503"

    def recover() -> None:
        until(lambda: len(server.requests) >= 2)
        server.fault = ""

    recovery = threading.Thread(target=recover)
    recovery.start()
    assert sync(git_of(server), tmp_path) == server.git("rev-parse", "main")
    recovery.join()


def test_a_try_that_the_deadline_cuts_short_tells_nothing_new() -> None:
    """The reason of the sync is that of the try before it: the remote, not the clock."""
    ends = iter([RemoteUnreachable("refused"), SyncTimeout("too late")])

    def action() -> None:
        raise next(ends)

    with pytest.raises(RemoteUnreachable, match="refused"):
        retried(Deadline(patient(60)), action)
    with pytest.raises(SyncTimeout):
        retried(Deadline(0), action)


def test_what_cannot_pass_is_not_tried_again(server: GitServer, tmp_path: Path) -> None:
    """Refused credentials are not sent again and again, which locks accounts."""
    server.user, server.password = "u", "right"
    with pytest.raises(AuthFailed):
        sync(git_of(server, user="u", password=Secret("wrong")), tmp_path)
    assert (
        len([status for _, _, status in server.requests if status == 401]) == 2
    )  # without, then with credentials


def test_children_that_ignore_sigterm_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transport that ignores every polite signal, and has children of its own, is gone at the
    deadline.
    """
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ssh"
    program.write_text(
        "#!/bin/sh\ntrap '' TERM INT HUP PIPE\nsleep 600 &\nwhile :; do sleep 600; done\n"
    )
    program.chmod(0o755)
    (tmp_path / "key").write_text("x")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with pytest.raises(SyncTimeout, match=told(1)):
        sync(Git(path="git@host:x.git", ssh_key_file=tmp_path / "key"), tmp_path, seconds=1)
    assert_clean(tmp_path)


def test_git_ends_when_we_are_killed(server: GitServer, tmp_path: Path) -> None:
    """SIGKILL in the middle of a fetch leaves nothing running: git ends with us, its helper by the
    speed limit.
    """
    server.fault = "hang"
    child = os.fork()
    if not child:
        try:
            sync(git_of(server), tmp_path, seconds=6)
        finally:
            os._exit(1)
    until(lambda: len(processes_of(tmp_path)) >= 2, message="git and its helper run")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    until(lambda: not processes_of(tmp_path), 10, "git has ended")


# --- HTTP credentials ---


def test_a_password_is_sent_and_seen_nowhere(server: GitServer, tmp_path: Path) -> None:
    """It works, and while it is in use it is in no argument list, no configuration, and no file but
    the private one.
    """
    server.user, server.password = "me@example.org", "p'$(x) \"ä%/:@"
    git = git_of(server, user=server.user, password=Secret(server.password))
    assert sync(git, tmp_path)
    assert_clean(tmp_path)
    for file in (tmp_path / "home").rglob("*"):
        assert file.is_dir() or server.password.encode() not in file.read_bytes()
    server.fault = "hang"

    def attempt() -> None:
        with pytest.raises(SyncError):
            sync(git, tmp_path, seconds=2)

    thread = threading.Thread(target=attempt)
    thread.start()
    commands = until(lambda: processes_of(tmp_path))
    thread.join()
    assert not any(server.password in command for command in commands)


def test_a_token_needs_no_user(server: GitServer, tmp_path: Path) -> None:
    """With a token alone some name is sent, because hosts want one."""
    server.user, server.password = "git", "token"
    assert sync(git_of(server, password=Secret("token")), tmp_path)


def test_a_rotated_token_is_read_again(server: GitServer, tmp_path: Path) -> None:
    """The old token is refused with reason `auth`, without a prompt; the file's new content works,
    no restart.
    """
    token = tmp_path / "token"
    token.write_text("old\n")
    server.user, server.password = "u", "old"
    git = git_of(server, user="u", password=Secret(file=token))
    sync(git, tmp_path)
    server.password = "new"
    with pytest.raises(AuthFailed, match="credentials") as caught:
        sync(git, tmp_path)
    assert "old" not in str(caught.value)
    token.write_text("new")
    assert sync(git, tmp_path)
    token.unlink()
    with pytest.raises(AuthFailed, match="MODELSYNC_GIT_PASSWORD_FILE"):
        sync(git, tmp_path)


def test_no_credentials_where_some_are_wanted(server: GitServer, tmp_path: Path) -> None:
    """Nobody is asked, nothing waits: AuthFailed at once."""
    server.user, server.password = "u", "p"
    with pytest.raises(AuthFailed):
        sync(git_of(server), tmp_path)


def test_a_redirect_does_not_get_the_password(server: GitServer, tmp_path: Path) -> None:
    """A remote that redirects to another host and asks for a password there is not told ours."""
    with GitServer(tmp_path / "thief.git") as thief:
        thief.user, thief.password = "u", "anything"
        server.redirect = thief.url.rsplit("/", 1)[0]
        with pytest.raises(SyncError):
            sync(git_of(server, user="u", password=Secret("secret")), tmp_path)
        assert [status for _, _, status in thief.requests] == [401]


def test_the_service_environment_does_not_reach_git(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables that would make git run or believe something, and the service's secrets, stay
    behind.
    """
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.file://{tmp_path}/evil.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", server.url)
    monkeypatch.setenv("MODELSYNC_ADMIN_TOKENS", "secret-of-the-service")
    assert sync(git_of(server), tmp_path)
    assert not (tmp_path / "trace").exists()
    server.fault = "hang"

    def attempt() -> None:
        with pytest.raises(SyncError):
            sync(git_of(server), tmp_path, seconds=2)

    thread = threading.Thread(target=attempt)
    thread.start()
    found = until(lambda: environments_of_git(tmp_path))
    assert not [content for content in found if b"secret-of-the-service" in content]
    thread.join()


def environments_of_git(folder: Path) -> list[bytes]:
    """The environments of the processes called git that run for the state directory in `folder`.

    `setpriv` and `env` start with all of the service's for a moment; git itself must not have it.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            content = (process / "environ").read_bytes()
            ours = f"HOME={folder}/home/.git-".encode() in content
            if ours and b"git" in (process / "comm").read_bytes():
                found.append(content)
    return found


# --- TLS ---


def test_a_certificate_that_nobody_signed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never insecurely: refused until the certificate is trusted, through the variable that Python
    uses as well.
    """
    with GitServer(tmp_path / "repository.git", tls=True) as server:
        server.push({"Churn/etls.py": "x"})
        monkeypatch.setenv("GIT_SSL_NO_VERIFY", "1")
        with pytest.raises(UntrustedRemote, match="certificate"):
            sync(git_of(server), tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate))
        assert sync(git_of(server), tmp_path)


# --- a repository on the same machine ---


def test_a_path_on_this_machine_where_it_is_allowed(server: GitServer, tmp_path: Path) -> None:
    """Protocol `file`, named on purpose; a path that does not exist says so."""
    git = Git(path=str(server.path), protocols=frozenset({"file"}))
    assert sync(git, tmp_path) == server.git("rev-parse", "main")
    with pytest.raises((AuthFailed, RefNotFound)):
        sync(Git(path=str(tmp_path / "none.git"), protocols=frozenset({"file"})), tmp_path)
