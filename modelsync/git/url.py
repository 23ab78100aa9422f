"""What is known of the remote before git runs: whether its URL is safe, how to log in, what git's
complaints mean.

No git here: `git.process` runs it, in the environment made here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from modelsync.errors import (
    AuthFailed,
    MirrorCorrupt,
    RefNotFound,
    RemoteUnreachable,
    SettingsError,
    StorageFailed,
    SyncError,
    UntrustedRemote,
)
from modelsync.settings import Git, git_environment

# --- the URL --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Remote:
    """A checked URL: what git is given, its protocol, and the host (with port) as messages name it."""

    url: str
    protocol: str
    host: str


def validate(git: Git) -> None:
    """Refuse what git would take for a command, an option or another transport, before anything
    runs.

    Raises SettingsError with what is secret left out.
    """
    remote = parse(git)
    if re.search(r"[\x00-\x1f\x7f]", git.user):
        raise SettingsError("usergit holds a control character")
    ref = git.ref
    # The rules of `git check-ref-format`, which also keep out options, revision syntax and
    # ls-remote's wildcards.
    if (
        ref.startswith(("-", "/", "."))
        or ref.endswith(("/", ".", ".lock"))
        or re.search(r"[\s\x00-\x1f~^:?*\[\\\x7f]|\.\.|@\{|//", ref)
    ):
        raise SettingsError(
            f"MODELSYNC_GIT_REF {ref!r} is no name of a branch or tag, and no commit"
        )
    if remote.protocol == "ssh" and not git.ssh_key_file:
        raise SettingsError(
            "gitPath uses ssh: set MODELSYNC_GIT_SSH_KEY_FILE (and MODELSYNC_GIT_KNOWN_HOSTS_FILE)"
        )


def parse(git: Git) -> Remote:
    """Take the URL apart as git would. Raises SettingsError, without what may be secret, where it
    is not allowed.
    """
    path = git.path
    if not path or re.search(r"[\s\x00-\x1f\x7f]", path):
        raise SettingsError("gitPath is empty or holds white space")
    if path.startswith("-"):
        raise SettingsError("gitPath starts with '-', so git would take it for an option")
    if helper := re.match(r"([A-Za-z0-9+.-]*)::", path):
        raise SettingsError(
            f"gitPath uses git's helper {helper[1]!r}, which can run any command; it is never allowed"
        )
    if "://" in path:
        remote = _url(path)
    elif scp := re.fullmatch(r"(?:[A-Za-z0-9_.+-]+@)?([^@:/\[\]]+):[^-@][^@]*", path):
        remote = Remote(path, "ssh", scp[1])
    elif ":" in path.split("/")[0]:
        raise SettingsError(
            "gitPath is no URL that is understood (credentials belong into usergit and gitpassword)"
        )
    else:
        remote = Remote(
            f"file://{quote(str(Path(path).expanduser().absolute()))}", "file", "this machine"
        )
    if remote.host.startswith("-"):
        raise SettingsError(
            "gitPath names a host that starts with '-', so ssh would take it for an option"
        )
    if remote.protocol not in git.protocols:
        if remote.protocol == "file" and not path.startswith(("file:", "/", ".", "~")):
            raise SettingsError(
                "gitPath is not a URL of a repository, such as https://git.example.com/team/models.git"
            )
        allowed = sorted(git.protocols)
        raise SettingsError(
            f"gitPath uses {remote.protocol}, and MODELSYNC_GIT_PROTOCOLS allows only {', '.join(allowed)}: "
            f"to allow it, set MODELSYNC_GIT_PROTOCOLS={','.join([*allowed, remote.protocol])}"
        )
    return remote


def _url(path: str) -> Remote:
    try:
        parts = urlsplit(path)
        user, at, host = parts.netloc.rpartition("@")
        if not parts.hostname or (parts.port is not None and not parts.port):
            host = ""
    except ValueError:
        raise SettingsError("gitPath is no URL that is understood") from None
    if parts.scheme not in {"https", "http", "ssh", "file"} or not path.startswith(
        f"{parts.scheme}://"
    ):
        raise SettingsError(f"gitPath uses {parts.scheme}, which is not supported")
    if at and (parts.scheme != "ssh" or ":" in user or user.startswith("-")):
        # A user alone may be a token; both would end in logs, process lists and git's own messages.
        raise SettingsError(
            f"gitPath holds credentials ({parts.scheme}://***@{host}/...): put them into usergit and gitpassword"
        )
    if not host and parts.scheme != "file":
        raise SettingsError("gitPath names no host")
    return Remote(path, parts.scheme, host or "this machine")


def origin(git: Git) -> str:
    """A name for the repository that is the same by https and by ssh, and whoever logs in. Raises
    as `parse`.
    """
    remote = parse(git)
    if "://" in remote.url:
        parts = urlsplit(remote.url)
        host, path = remote.host, parts.path
        if remote.protocol == "ssh":  # whose port says nothing about that of https
            host = parts.hostname or ""
    else:
        host, _, path = remote.url.rpartition("@")[2].partition(":")
    return f"{host.lower()}/{path.strip('/').removesuffix('.git')}"


# --- logging in -----------------------------------------------------------------------------------

# Answers git's questions from variables that only git's process has. It answers for the one host
# that was configured: a remote that redirects elsewhere gets nothing.
_ASKPASS = """#!/bin/sh
case "$1" in
"Username for '$ASKPASS_SCHEME://$ASKPASS_HOST': ") printf '%s\\n' "$ASKPASS_USER" ;;
"Password for '$ASKPASS_SCHEME://"*"@$ASKPASS_HOST': ") printf '%s\\n' "$ASKPASS_PASSWORD" ;;
*) exit 1 ;;
esac
"""


def environment(git: Git, remote: Remote, private: Path, timeout: float) -> dict[str, str]:
    """Everything that a git process sees of the world, secrets read anew; files it needs are put
    into `private`.

    `private` is an empty folder with mode 0700 that goes away afterwards; `timeout` in seconds is
    for one connection. Raises AuthFailed where a credential cannot be read.
    """
    environ = git_environment()
    environ |= {
        "HOME": str(private),
        "LANG": "C",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": remote.protocol,
        "GIT_CEILING_DIRECTORIES": str(
            private.parent.resolve()
        ),  # the state directory may lie in a work tree
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }
    if remote.protocol == "ssh":
        environ |= {
            "GIT_SSH_COMMAND": _ssh_command(git, private, timeout),
            "GIT_SSH_VARIANT": "ssh",
        }
    elif remote.protocol in {"https", "http"} and (git.user or git.password):
        askpass = private / "askpass"
        askpass.write_text(_ASKPASS)
        askpass.chmod(0o700)
        environ |= {
            "GIT_ASKPASS": str(askpass),
            "ASKPASS_SCHEME": remote.protocol,
            "ASKPASS_HOST": remote.host,
            "ASKPASS_USER": git.user or "git",  # hosts that take a token want some name with it
            "ASKPASS_PASSWORD": password(git),
        }
    return environ


def password(git: Git) -> str:
    """The password as it is now. Raises AuthFailed where its file cannot be read, or holds more
    than a line.
    """
    try:
        value = git.password.read()
    except SettingsError:
        raise AuthFailed(
            "the password file of MODELSYNC_GIT_PASSWORD_FILE cannot be read"
        ) from None
    if re.search(r"[\x00\r\n]", value):
        raise AuthFailed("the password holds a line break")
    return value


def _ssh_command(git: Git, private: Path, timeout: float) -> str:
    """Ssh that knows our key and our known hosts, and neither the user's configuration nor an
    agent.
    """
    assert git.ssh_key_file
    try:
        content = git.ssh_key_file.read_bytes()
    except OSError as error:
        raise AuthFailed(
            f"the key file of MODELSYNC_GIT_SSH_KEY_FILE cannot be read: {error.strerror}"
        ) from None
    # A copy of our own: ssh refuses a key that others may read, as Kubernetes mounts them, and one
    # without a last line break, as people paste them.
    key = private / "key"
    key.touch(0o600)
    key.write_bytes(content.rstrip() + b"\n")
    seconds = str(max(1, round(timeout)))
    known = ["UserKnownHostsFile=/dev/null"]  # what is left is the machine's own list
    if git.known_hosts_file:
        known = [
            f'UserKnownHostsFile="{git.known_hosts_file.absolute()}"',
            "GlobalKnownHostsFile=/dev/null",
        ]
    options = [
        "IdentitiesOnly=yes", "IdentityAgent=none", "StrictHostKeyChecking=yes", "UpdateHostKeys=no", "BatchMode=yes",
        "PreferredAuthentications=publickey", f"ConnectTimeout={seconds}", f"ServerAliveInterval={seconds}",
        "ServerAliveCountMax=2", "ControlMaster=no", "ControlPath=none", "LogLevel=ERROR",
        *known,
    ]  # fmt: skip
    return shlex.join(
        [
            "ssh",
            "-F",
            "/dev/null",
            "-i",
            str(key),
            *(part for option in options for part in ("-o", option)),
        ]
    )


# --- what git's complaints mean -------------------------------------------------------------------

# In this order: a full disk also makes the remote "hang up", and an unknown host key also "cannot
# be read".
_COMPLAINTS: tuple[tuple[type[SyncError], str, tuple[str, ...]], ...] = (
    (StorageFailed, "the state directory cannot be used: {0}", (
        "No space left on device", "Read-only file system", "Disk quota exceeded", "File too large",
    )),
    (StorageFailed, "the state directory cannot be written", (
        "insufficient permission for adding an object",
        r"(?:[Uu]nable to|cannot|could not|failed to) (?:create|mkdir|open|write)\b.*: "
        "(?:Permission denied|Operation not permitted|Not a directory|Input/output error)",
    )),
    (UntrustedRemote, "the SSH host key of {host} is unknown or has changed; see MODELSYNC_GIT_KNOWN_HOSTS_FILE", (
        "Host key verification failed", "HOST IDENTIFICATION HAS CHANGED", r"No \S+ host key is known",
    )),
    (UntrustedRemote, "the certificate of {host} is not trusted", (
        "certificate verif", "SSL certificate problem", "certificate subject name", "not match target host",
        "certificate signer", "self[- ]signed certificate", "certificate has expired", "unable to get local issuer",
    )),
    (AuthFailed, "{host} refused the credentials", (
        "Authentication failed", "could not read (?:Username|Password)", "terminal prompts disabled",
        r"(?:returned error:|HTTP) 40[137]\b", r"Permission denied \(", "Invalid username or", "Access denied",
        "Too many authentication failures", "[Ll]oad key .*",
    )),
    (AuthFailed, "there is no repository at the URL, or {host} does not let these credentials read it", (
        r"[Rr]epository .*not found", r"returned error: 404\b", "does not appear to be a git repository",
        "Could not find repository",
    )),
    (RefNotFound, "{host} does not have the commit", (
        "couldn't find remote ref", "not our ref", "unadvertised object", "no such remote ref",
    )),
    (MirrorCorrupt, "the mirror is damaged", (
        r"^(?!remote:).*(?:is empty$|is corrupt|bad object|[Mm]issing (?:blob|tree|commit|object)|not a git repository|"
        r"\.lock': File exists|bad (?:numeric )?config|inflate|loose object|shallow file|unresolved delta|packfile|"
        r"did not send all necessary objects)",
    )),
    (RemoteUnreachable, "{host} cannot be reached, or failed to answer: {0}", (
        "Could not resolve host(?:name)?", "Connection (?:refused|timed out|reset|closed)", "Network is unreachable",
        "No route to host", "Operation (?:timed out|too slow)", r"returned error: (?:5\d\d|429)\b", "[Tt]imed out",
    )),
    (RemoteUnreachable, "{host} cannot be reached, or failed to answer", (
        "unable to access", "[Ff]ailed to connect", "early EOF", "hung up", "RPC failed", "index-pack", "fetch-pack",
        "expected flush",
        "Could not read from remote", "protocol error", "bad line length", "handshake", "kex_exchange", "packet",
        "not valid: is this a git repo", "unexpected disconnect", "invalid server response", "partial file",
        "bad pack", "invalid ls-refs",
    )),
)  # fmt: skip


def explain(stderr: str, remote: Remote, secrets: tuple[str, ...] = ()) -> SyncError:
    """Turn what git wrote to standard error (in English) into the error it stands for, in words
    that hold no secret.
    """
    for kind, message, patterns in _COMPLAINTS:
        if found := re.search("|".join(patterns), stderr, re.MULTILINE):
            return kind(message.format(found[0], host=remote.host))
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    last = next(
        (line for line in reversed(lines) if line.startswith(("fatal:", "error:"))),
        lines[-1] if lines else "",
    )
    return SyncError(f"git failed: {_redacted(last, secrets) or 'without a word'}")


def _redacted(line: str, secrets: tuple[str, ...]) -> str:
    for secret in _spellings(secrets):
        line = line.replace(secret, "***")
    line = re.sub(r"\w+://\S+", "***", line)
    return re.sub(r"(?<![\w.])/[^\s':,]+", "***", line)[:300]


def _spellings(secrets: tuple[str, ...]) -> Iterator[str]:
    for secret in secrets:
        if secret:
            yield secret
            yield quote(secret, safe="")
