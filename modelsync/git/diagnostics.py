"""Diagnostics: maps git's messages on standard error to errors.

Git runs with LC_ALL=C, so its messages are English. They are matched by pattern, because git has no
exit codes for these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from modelsync.errors import (
    AuthFailed,
    MirrorCorrupt,
    RefNotFound,
    RemoteUnreachable,
    StorageFailed,
    SyncError,
    UntrustedRemote,
)
from modelsync.git.url import Remote

_REFUSED = "{host} refused the credentials"
_NO_REPOSITORY = (
    "there is no repository at the URL, or {host} does not let these credentials read it"
)
_HOW = "set gitpassword, and usergit if your host asks for a name (in the chart git.existingSecret)"
_WITHOUT_LOGIN = {
    _REFUSED: f"{{host}} asks for credentials, and none are set: {_HOW}",
    _NO_REPOSITORY: f"there is no repository at the URL, or {{host}} shows it only to those who "
    f"log in, and no credentials are set: {_HOW}",
}
"""What is said in place of a message where git has sent no credentials."""

REDACTED = 3000
"""Characters of a line of which some are shown; what follows is cut off first."""

# The error, its message ({0} is what matched), and the patterns of git's messages that mean it. The
# first match counts: a full disk also makes the remote "hang up", and an unknown host key also
# "cannot be read".
_MESSAGES: tuple[tuple[type[SyncError], str, tuple[str, ...]], ...] = (
    (
        StorageFailed,
        "the state directory cannot be used: {0}",
        (
            "No space left on device",
            "Read-only file system",
            "Disk quota exceeded",
            "File too large",
        ),
    ),
    (
        StorageFailed,
        "the state directory cannot be written",
        (
            "insufficient permission for adding an object",
            r"(?:[Uu]nable to|cannot|could not|failed to) (?:create|mkdir|open|write)\b.*: "
            "(?:Permission denied|Operation not permitted|Not a directory|Input/output error)",
        ),
    ),
    (
        UntrustedRemote,
        "the SSH host key of {host} is unknown or has changed; see MODELSYNC_GIT_KNOWN_HOSTS_FILE",
        (
            "Host key verification failed",
            "HOST IDENTIFICATION HAS CHANGED",
            r"No \S+ host key is known",
        ),
    ),
    (
        UntrustedRemote,
        "the certificate of {host} is not trusted",
        (
            "certificate verif",
            "SSL certificate problem",
            "certificate subject name",
            "not match target host",
            "certificate signer",
            "self[- ]signed certificate",
            "certificate has expired",
            "unable to get local issuer",
        ),
    ),
    (
        AuthFailed,
        _REFUSED,
        (
            "Authentication failed",
            "could not read (?:Username|Password)",
            "terminal prompts disabled",
            r"(?:returned error:|HTTP) 40[137]\b",
            r"Permission denied \(",
            "Invalid username or",
            "Access denied",
            "Too many authentication failures",
            "[Ll]oad key .*",
        ),
    ),
    (
        AuthFailed,
        _NO_REPOSITORY,
        (
            r"[Rr]epository .*not found",
            r"returned error: 404\b",
            "does not appear to be a git repository",
            "Could not find repository",
        ),
    ),
    (
        RefNotFound,
        "{host} does not have the commit",
        (
            "couldn't find remote ref",
            "not our ref",
            "unadvertised object",
            "no such remote ref",
        ),
    ),
    (
        MirrorCorrupt,
        "the mirror is damaged",
        (
            r"^(?!remote:).*(?:is empty$|is corrupt|bad object|"
            r"[Mm]issing (?:blob|tree|commit|object)|not a git repository|"
            r"\.lock': File exists|bad (?:numeric )?config|inflate|loose object|"
            r"shallow file|unresolved delta|packfile|did not send all necessary objects)",
        ),
    ),
    (
        RemoteUnreachable,
        "{host} cannot be reached, or failed to answer: {0}",
        (
            "Could not resolve host(?:name)?",
            "Connection (?:refused|timed out|reset|closed)",
            "Network is unreachable",
            "No route to host",
            "Operation (?:timed out|too slow)",
            r"returned error: (?:5\d\d|429)\b",
            "[Tt]imed out",
        ),
    ),
    (
        RemoteUnreachable,
        "{host} cannot be reached, or failed to answer",
        (
            "unable to access",
            "[Ff]ailed to connect",
            "early EOF",
            "hung up",
            "RPC failed",
            "index-pack",
            "fetch-pack",
            "expected flush",
            "Could not read from remote",
            "protocol error",
            "bad line length",
            "handshake",
            "kex_exchange",
            "packet",
            "not valid: is this a git repo",
            "unexpected disconnect",
            "invalid server response",
            "partial file",
            "bad pack",
            "invalid ls-refs",
        ),
    ),
)


def explain(
    stderr: str, remote: Remote, secrets: tuple[str, ...] = (), *, login: bool = True
) -> SyncError:
    """Return the error for git's standard error; its message holds no secret.

    `login`: whether git has sent credentials. Unknown messages become a plain SyncError with git's
    last line, without `secrets`, URLs and paths.
    """
    for kind, message, patterns in _MESSAGES:
        if found := re.search("|".join(patterns), stderr, re.MULTILINE):
            message = message if login else _WITHOUT_LOGIN.get(message, message)
            return kind(message.format(found[0], host=remote.host))
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    last = next(
        (line for line in reversed(lines) if line.startswith(("fatal:", "error:"))),
        lines[-1] if lines else "",
    )
    return SyncError(f"git failed: {redacted(last, secrets) or 'without a message'}")


def redacted(line: str, secrets: tuple[str, ...]) -> str:
    """A line of a remote's without secrets, URLs and paths, 300 characters at most."""
    for secret in _spellings(secrets):
        line = line.replace(secret, "***")
    line = re.sub(r"\w+://\S+", "***", line[:REDACTED])  # takes the square of the length
    return re.sub(r"(?<![\w.])/[^\s':,]+", "***", line)[:300]


def _spellings(secrets: tuple[str, ...]) -> Iterator[str]:
    for secret in secrets:
        if secret:
            yield secret
            yield quote(secret, safe="")
