"""Logs git in to the remote: one class for each kind of login, listed in `LOGINS`.

Secrets are read anew for each git process, so a rotated one needs no restart.
"""

from __future__ import annotations

import base64
import re
import shlex
from abc import ABC, abstractmethod
from pathlib import Path

from modelsync.errors import AuthFailed, SettingsError
from modelsync.git.url import Remote
from modelsync.settings import Git


class Login(ABC):
    """One kind of login. Stateless: the settings and the remote are arguments."""

    @abstractmethod
    def applies(self, git: Git, remote: Remote) -> bool:
        """Whether this login is the one for the remote, by these settings."""

    @abstractmethod
    def validate(self, git: Git) -> None:
        """Raise SettingsError if a setting that this login needs is missing or malformed."""

    @abstractmethod
    def environment(
        self, git: Git, remote: Remote, private: Path, timeout: float
    ) -> dict[str, str]:
        """The variables that make git log in. Files it needs are written into `private`.

        `timeout`, in seconds, is for one connection. Raises AuthFailed if a secret cannot be
        read.
        """

    def secrets(self, git: Git) -> tuple[str, ...]:
        """The secrets that git may repeat in its messages. Raises AuthFailed."""
        return ()


class HttpsPassword(Login):
    """A user with a password or an access token, over HTTPS (or HTTP, if that is allowed)."""

    # Answers git's questions from variables that only git's process has. It answers for the one
    # host that was configured: a remote that redirects elsewhere gets nothing.
    _ASKPASS = """#!/bin/sh
case "$1" in
"Username for '$ASKPASS_SCHEME://$ASKPASS_HOST': ") printf '%s\\n' "$ASKPASS_USER" ;;
"Password for '$ASKPASS_SCHEME://"*"@$ASKPASS_HOST': ") printf '%s\\n' "$ASKPASS_PASSWORD" ;;
*) exit 1 ;;
esac
"""

    def applies(self, git: Git, remote: Remote) -> bool:
        """Over HTTP(S), unless neither a user nor a password is set: then there is no login."""
        return remote.protocol in {"https", "http"} and bool(git.user or git.password)

    def validate(self, git: Git) -> None:
        """Refuse a user with a control character: git reads it up to the end of the line."""
        if re.search(r"[\x00-\x1f\x7f]", git.user):
            raise SettingsError("usergit holds a control character")

    def environment(
        self, git: Git, remote: Remote, private: Path, timeout: float
    ) -> dict[str, str]:
        """A program that answers git's questions (gitcredentials(7)), and its answers."""
        askpass = private / "askpass"
        askpass.write_text(self._ASKPASS)
        askpass.chmod(0o700)
        return {
            "GIT_ASKPASS": str(askpass),
            "ASKPASS_SCHEME": remote.protocol,
            "ASKPASS_HOST": remote.host,
            "ASKPASS_USER": git.user or "git",  # hosts that take a token want some name with it
            "ASKPASS_PASSWORD": self._password(git),
        }

    def secrets(self, git: Git) -> tuple[str, ...]:
        """The password."""
        return (self._password(git),)

    def header(self, git: Git) -> dict[str, str]:
        """The same login as a header of HTTP (RFC 7617), for Git LFS. Raises AuthFailed."""
        login = f"{git.user or 'git'}:{self._password(git)}".encode()
        return {"Authorization": f"Basic {base64.b64encode(login).decode()}"}

    def _password(self, git: Git) -> str:
        try:
            value = git.password.read()
        except SettingsError:
            raise AuthFailed(
                "the password file of MODELSYNC_GIT_PASSWORD_FILE cannot be read"
            ) from None
        if re.search(r"[\x00\r\n]", value):
            raise AuthFailed("the password holds a line break")
        return value


class SshKey(Login):
    """A private key over ssh, with a list of known hosts."""

    _OPTIONS = (
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "BatchMode=yes",
        "PreferredAuthentications=publickey",
        "ServerAliveCountMax=2",
        "ControlMaster=no",
        "ControlPath=none",
        "LogLevel=ERROR",
    )

    def applies(self, git: Git, remote: Remote) -> bool:
        """Over ssh, always."""
        return remote.protocol == "ssh"

    def validate(self, git: Git) -> None:
        """Ask for a key."""
        if not git.ssh_key_file:
            raise SettingsError(
                "gitPath uses ssh: set MODELSYNC_GIT_SSH_KEY_FILE "
                "(and MODELSYNC_GIT_KNOWN_HOSTS_FILE)"
            )

    def environment(
        self, git: Git, remote: Remote, private: Path, timeout: float
    ) -> dict[str, str]:
        """An ssh command with our key and our known hosts.

        It reads neither the user's configuration nor an agent.
        """
        seconds = max(1, round(timeout))
        options = [
            *self._OPTIONS,
            f"ConnectTimeout={seconds}",
            f"ServerAliveInterval={seconds}",
            *_known_hosts(git),
        ]
        command = ["ssh", "-F", "/dev/null", "-i", str(_copy_of_key(git, private))]
        command += [part for option in options for part in ("-o", option)]
        return {"GIT_SSH_COMMAND": shlex.join(command), "GIT_SSH_VARIANT": "ssh"}


def _copy_of_key(git: Git, private: Path) -> Path:
    """Copy the key into a file that ssh accepts.

    ssh refuses a key that others may read, as Kubernetes mounts keys, and one without a final line
    break, as people paste keys.
    """
    assert git.ssh_key_file
    try:
        content = git.ssh_key_file.read_bytes()
    except OSError as error:
        raise AuthFailed(
            f"the key file of MODELSYNC_GIT_SSH_KEY_FILE cannot be read: {error.strerror}"
        ) from None
    key = private / "key"
    key.touch(0o600)
    key.write_bytes(content.rstrip() + b"\n")
    return key


def _known_hosts(git: Git) -> tuple[str, ...]:
    if not git.known_hosts_file:
        return ("UserKnownHostsFile=/dev/null",)  # what is left is the machine's own list
    file = git.known_hosts_file.absolute()
    return (f'UserKnownHostsFile="{file}"', "GlobalKnownHostsFile=/dev/null")


LOGINS: tuple[Login, ...] = (SshKey(), HttpsPassword())
"""The first login that applies is used; without one, git sends no credentials."""


def validate(git: Git, remote: Remote) -> None:
    """Raise SettingsError if a setting of the login that applies is missing or malformed."""
    if login := _login(git, remote):
        login.validate(git)


def environment(git: Git, remote: Remote, private: Path, timeout: float) -> dict[str, str]:
    """The variables that make git log in to the remote; empty if no login applies.

    `private` is an empty folder with mode 0700 that is removed afterwards; `timeout`, in seconds,
    is for one connection. Raises AuthFailed if a secret cannot be read.
    """
    login = _login(git, remote)
    return login.environment(git, remote, private, timeout) if login else {}


def header(git: Git) -> dict[str, str]:
    """The header that logs in over HTTP; empty if neither a user nor a password is set.

    Raises AuthFailed if the password cannot be read.
    """
    return HttpsPassword().header(git) if git.user or git.password else {}


def secrets(git: Git) -> tuple[str, ...]:
    """All secrets that git may repeat in its messages. Raises AuthFailed."""
    return tuple(secret for login in LOGINS for secret in login.secrets(git))


def _login(git: Git, remote: Remote) -> Login | None:
    return next((login for login in LOGINS if login.applies(git, remote)), None)
