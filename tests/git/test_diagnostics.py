"""What git says, as hosts and versions word it, becomes the right reason; whatever it is, no secret
and no path.
"""

from __future__ import annotations

import pytest

from modelsync.errors import (
    AuthFailed,
    MirrorCorrupt,
    RefNotFound,
    RemoteUnreachable,
    StorageFailed,
    SyncError,
    UntrustedRemote,
)
from modelsync.git.diagnostics import explain
from modelsync.git.url import Remote

REMOTE = Remote("https://git.example.org/x.git", "https", "git.example.org")
URL = REMOTE.url


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        # GitHub, GitLab, Bitbucket, Gitea, Azure
        (f"remote: Invalid username or password.\nfatal: Authentication failed for '{URL}/'",
         AuthFailed),
        ("remote: HTTP Basic: Access denied. The provided password or token is incorrect",
         AuthFailed),
        (f"remote: Repository not found.\nfatal: repository '{URL}/' not found", AuthFailed),
        (f"fatal: unable to access '{URL}/': The requested URL returned error: 403", AuthFailed),
        (f"fatal: could not read Username for '{URL}': terminal prompts disabled", AuthFailed),
        ("git@github.com: Permission denied (publickey).\n"
         "fatal: Could not read from remote repository.", AuthFailed),
        ("ERROR: Repository not found.\nfatal: Could not read from remote repository.", AuthFailed),
        # TLS: GnuTLS, OpenSSL
        (f"fatal: unable to access '{URL}/': server certificate verification failed. CAfile: none "
         "CRLfile: none",
         UntrustedRemote),
        (f"fatal: unable to access '{URL}/': SSL certificate problem: self-signed certificate",
         UntrustedRemote),
        (f"fatal: unable to access '{URL}/': SSL: no alternative certificate subject name matches "
         "target host name 'x'",
         UntrustedRemote),
        (f"fatal: unable to access '{URL}/': SSL certificate problem: certificate has expired",
         UntrustedRemote),
        ("Host key verification failed.\nfatal: Could not read from remote repository.",
         UntrustedRemote),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nfatal: Could not read from remote",
         UntrustedRemote),
        # the network
        (f"fatal: unable to access '{URL}/': Could not resolve host: git.example.org",
         RemoteUnreachable),
        (f"fatal: unable to access '{URL}/': Failed to connect to x port 443 after 1 ms: Couldn't "
         "connect to server",
         RemoteUnreachable),
        (f"fatal: unable to access '{URL}/': The requested URL returned error: 502",
         RemoteUnreachable),
        (f"fatal: unable to access '{URL}/': The requested URL returned error: 429",
         RemoteUnreachable),
        (f"fatal: unable to access '{URL}/': gnutls_handshake() failed: The connection was not "
         "properly terminated.",
         RemoteUnreachable),
        ("error: RPC failed; curl 18 transfer closed with outstanding read data remaining\n"
         "fatal: early EOF",
         RemoteUnreachable),
        ("ssh: connect to host x port 22: Connection timed out\nfatal: Could not read from remote",
         RemoteUnreachable),
        ("ssh: Could not resolve hostname x: Name or service not known", RemoteUnreachable),
        ("fatal: the remote end hung up unexpectedly\nfatal: early EOF\n"
         "fatal: fetch-pack: invalid index-pack output",
         RemoteUnreachable),
        # the commit
        ("fatal: remote error: upload-pack: not our ref 1111111111111111111111111111111111111111",
         RefNotFound),
        ("error: Server does not allow request for unadvertised object 1111", RefNotFound),
        # this machine
        ("error: unable to write file x: No space left on device\nfatal: unpack-objects failed",
         StorageFailed),
        ("fatal: write error: No space left on device\n"
         "fatal: fetch-pack: invalid index-pack output", StorageFailed),
        ("error: insufficient permission for adding an object to repository database ./objects",
         StorageFailed),
        ("fatal: Unable to create '/home/x/repo.git/shallow.lock': Read-only file system",
         StorageFailed),
        ("fatal: Unable to create '/home/x/repo.git/shallow.lock': Permission denied",
         StorageFailed),
        ("fatal: not a git repository: '/home/x/repo.git'", MirrorCorrupt),
        ("error: object file objects/11/11 is empty\nfatal: loose object 1111 is corrupt",
         MirrorCorrupt),
        ("fatal: Unable to create '/home/x/repo.git/shallow.lock': File exists.", MirrorCorrupt),
        ("fatal: bad object refs/kept/1111\nerror: x did not send all necessary objects",
         MirrorCorrupt),
    ],
)  # fmt: skip
def test_what_git_says(said: str, kind: type[SyncError]) -> None:
    """Real sentences, each with its error; a message is one line and names the host, not the URL or
    a local path.
    """
    error = explain(said, REMOTE)
    assert type(error) is kind
    assert "\n" not in str(error)
    assert URL not in str(error)
    assert "/home" not in str(error)


@pytest.mark.parametrize(
    "said",
    [
        f"fatal: could not read Username for '{URL}': terminal prompts disabled",
        f"remote: Repository not found.\nfatal: repository '{URL}/' not found",
    ],
)
def test_credentials_that_are_missing_are_told_from_wrong_ones(said: str) -> None:
    """What was not given was not refused: the message says what to set."""
    assert "set gitpassword" not in str(explain(said, REMOTE))
    error = explain(said, REMOTE, login=False)
    assert type(error) is AuthFailed
    assert "no" in str(error)
    assert "set gitpassword" in str(error)
    assert "refused" not in str(error)


@pytest.mark.parametrize(
    "said", ["", "fatal: something new", "error: s3cr%t in /var/lib/x.git at https://u:s3cr%t@h/x"]
)
def test_what_nobody_has_heard_before(said: str) -> None:
    """It is passed on, without secrets, URLs and paths."""
    error = explain(said, REMOTE, ("s3cr%t",))
    assert type(error) is SyncError
    assert not any(part in str(error) for part in ("s3cr", "/var", "https:"))
    assert said != "fatal: something new" or "something new" in str(error)
