"""The URL of the repository: whether it is safe, its parts, and its name.

Nothing here runs git: text that git would take for a command, an option or another transport is
refused first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from modelsync.errors import SettingsError
from modelsync.settings import Git


@dataclass(frozen=True, slots=True)
class Remote:
    """A checked URL. `host`, with the port, is how messages name the remote."""

    url: str
    protocol: str
    host: str


def validate(git: Git) -> Remote:
    """Check the URL and the ref before git runs. Returns the remote.

    Raises SettingsError, without secrets, for text that git would take for a command, an option or
    another transport.
    """
    remote = parse(git)
    ref = git.ref
    # The rules of `git check-ref-format`, which also keep out options, revision syntax and
    # ls-remote's wildcards.
    if (
        ref.startswith(("-", "/", "."))
        or ref.endswith(("/", ".", ".lock"))
        or re.search(r"[\s\x00-\x1f~^:?*\[\\\x7f]|\.\.|@\{|//", ref)
    ):
        raise SettingsError(
            f"MODELSYNC_GIT_REF {ref!r} is not the name of a branch or tag, nor a commit"
        )
    return remote


def parse(git: Git) -> Remote:
    """Split the URL as git does (gitprotocol: "GIT URLS" in git-fetch(1)).

    Raises SettingsError, whose message holds no secret, if the URL is not allowed.
    """
    path = git.path
    _refuse_commands(path)
    if "://" in path:
        remote = _url(path)
    elif scp := re.fullmatch(r"(?:[A-Za-z0-9_.+-]+@)?([^@:/\[\]]+):[^-@][^@]*", path):
        remote = Remote(path, "ssh", scp[1])
    elif ":" in path.split("/")[0]:
        raise SettingsError(
            "gitPath is not a valid URL (credentials belong in usergit and gitpassword)"
        )
    else:
        remote = Remote(
            f"file://{quote(str(Path(path).expanduser().absolute()))}", "file", "this machine"
        )
    if remote.host.startswith("-"):
        raise SettingsError(
            "gitPath names a host that starts with '-', so ssh would take it for an option"
        )
    _check_allowed(remote, git)
    return remote


def _refuse_commands(path: str) -> None:
    if not path or re.search(r"[\s\x00-\x1f\x7f]", path):
        raise SettingsError("gitPath is empty or holds white space")
    if path.startswith("-"):
        raise SettingsError("gitPath starts with '-', so git would take it for an option")
    if helper := re.match(r"([A-Za-z0-9+.-]*)::", path):
        raise SettingsError(
            f"gitPath uses git's helper {helper[1]!r}, which can run any command; "
            "it is never allowed"
        )


def _check_allowed(remote: Remote, git: Git) -> None:
    if remote.protocol in git.protocols:
        return
    if remote.protocol == "file" and not git.path.startswith(("file:", "/", ".", "~")):
        host = re.fullmatch(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+/[^@?]*", git.path)
        meant = f"; write https://{git.path}" if host else ""
        raise SettingsError(
            "gitPath is not a URL of a repository, such as "
            f"https://git.example.com/team/models.git{meant}"
        )
    allowed = sorted(git.protocols)
    raise SettingsError(
        f"gitPath uses {remote.protocol}, and MODELSYNC_GIT_PROTOCOLS allows only "
        f"{', '.join(allowed)}: "
        f"to allow it, set MODELSYNC_GIT_PROTOCOLS={','.join([*allowed, remote.protocol])}"
    )


def _url(path: str) -> Remote:
    """Split a URL with a scheme. Raises SettingsError for credentials in it."""
    try:
        parts = urlsplit(path)
        user, at, host = parts.netloc.rpartition("@")
        if not parts.hostname or (parts.port is not None and not parts.port):
            host = ""
    except ValueError:
        raise SettingsError("gitPath is not a valid URL") from None
    if parts.scheme not in {"https", "http", "ssh", "file"} or not path.startswith(
        f"{parts.scheme}://"
    ):
        raise SettingsError(f"gitPath uses {parts.scheme}, which is not supported")
    if at and (parts.scheme != "ssh" or ":" in user or user.startswith("-")):
        # A user alone may be a token; both would end in logs, process lists and git's own messages.
        raise SettingsError(
            f"gitPath holds credentials ({parts.scheme}://***@{host}/...): "
            "put them into usergit and gitpassword"
        )
    if not host and parts.scheme != "file":
        raise SettingsError("gitPath names no host")
    return Remote(path, parts.scheme, host or "this machine")


def origin(git: Git) -> str:
    """The name of the repository: host and path, the same for each transport and each login.

    Raises SettingsError as `parse`.
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


def ssh_address(remote: Remote) -> tuple[list[str], str]:
    """The arguments that lead ssh to the host of an ssh remote, and the path there, as git has
    them.
    """
    if "://" not in remote.url:
        place, _, path = remote.url.partition(":")
        return [place], path
    parts = urlsplit(remote.url)
    user = parts.netloc.rpartition("@")[0]
    port = ["-p", str(parts.port)] if parts.port else []
    path = unquote(parts.path)
    if path.startswith("/~"):
        path = path[1:]
    return [*port, f"{user}@{parts.hostname}" if user else str(parts.hostname)], path
