"""Where the Git LFS server of a repository is, and how it is logged in to.

By https://github.com/git-lfs/git-lfs/blob/main/docs/api/server-discovery.md, and `.lfsconfig`
(git-lfs-config(5)), which comes from the commit: it may name another path or port of the host that
the settings name, never another host, as that would get the credentials.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from modelsync.errors import ObjectUnavailable, SettingsError, SyncError
from modelsync.git import auth, tree
from modelsync.git.process import GitRunner
from modelsync.git.url import Remote, parse, ssh_address
from modelsync.settings import Git

CONFIG = ".lfsconfig"


@dataclass(frozen=True, slots=True)
class LfsEndpoint:
    """The URL of the API, and the headers that log in there."""

    url: str
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


def checked_link(said: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The URL and the headers of what a server calls `href` and `header`.

    Raises KeyError, TypeError or ValueError if they are none.
    """
    url, headers = said["href"], dict(said.get("header") or {})
    if not all(isinstance(one, str) for one in (url, *headers, *headers.values())):
        raise TypeError("texts are expected")
    return url, headers


def validate(git: Git) -> None:
    """Raise SettingsError if the URL of the settings is not allowed."""
    scheme = urlsplit(git.lfs_url).scheme
    if scheme and scheme not in git.protocols:
        raise SettingsError(
            f"MODELSYNC_GIT_LFS_URL uses {scheme}, and MODELSYNC_GIT_PROTOCOLS allows only "
            f"{', '.join(sorted(git.protocols))}"
        )


def configured(run: GitRunner, commit: str) -> str:
    """The URL in a commit's `.lfsconfig`; empty without one. Raises SyncError."""
    if not tree.files(run, commit, "", CONFIG):
        return ""
    try:
        listing = run("config", "--blob", f"{commit}:{CONFIG}", "--no-includes", "-z", "--list")
    except SyncError:
        raise ObjectUnavailable(f"{CONFIG} cannot be read: `git config -f {CONFIG} -l`") from None
    values = dict(entry.partition("\n")[::2] for entry in listing.split("\0") if entry)
    return (values.get("lfs.url") or values.get("remote.origin.lfsurl") or "").strip().rstrip("/")


def find(git: Git, remote: Remote, run: GitRunner, in_commit: str) -> LfsEndpoint:
    """Find the server: by the settings, by the URL in the commit, else beside the repository.

    Raises ObjectUnavailable if there is none that may be asked, or SyncError.
    """
    if git.lfs_url:
        return LfsEndpoint(git.lfs_url, auth.header(git))
    if in_commit:
        remote = _same_host(git, remote, in_commit)
        if remote.protocol != "ssh":
            return LfsEndpoint(in_commit, auth.header(git))
    if remote.protocol == "ssh":
        return _authenticated(git, remote, run)
    if remote.protocol == "file":
        raise ObjectUnavailable("the repository on this machine does not hold it")
    return LfsEndpoint(_beside(remote.url), auth.header(git))


def _same_host(git: Git, remote: Remote, in_commit: str) -> Remote:
    """The remote that a URL of the commit names. Raises ObjectUnavailable for another host."""
    try:
        found = parse(Git(path=in_commit, protocols=git.protocols))
    except SettingsError as error:
        message = str(error).replace("gitPath", f"the lfs.url of {CONFIG}")
        raise ObjectUnavailable(message) from None
    if _name(found) != _name(remote):
        raise ObjectUnavailable(
            f"{CONFIG} names {found.host}, another host than the repository's, which must not get "
            "its credentials: to allow it, set MODELSYNC_GIT_LFS_URL"
        )
    return found


def _name(remote: Remote) -> str:
    if "://" not in remote.url:
        return remote.host.lower()
    return urlsplit(remote.url).hostname or ""


def _authenticated(git: Git, remote: Remote, run: GitRunner) -> LfsEndpoint:
    """Ask the host over ssh for a URL and a token (`git-lfs-authenticate`).

    A host without the command has its server where it would be over https.
    """
    address, path = ssh_address(remote)
    try:
        said = run.over_ssh(address, f"git-lfs-authenticate {shlex.quote(path)} download")
        url, headers = checked_link({"href": "", **json.loads(said)})
    except (ValueError, TypeError):
        raise ObjectUnavailable(
            f"{remote.host} answers git-lfs-authenticate with something else than it should"
        ) from None
    except SyncError as error:
        if type(error) is not SyncError:  # one that has an explanation
            raise
        url, headers = "", auth.header(git)
    return LfsEndpoint(
        url.rstrip("/") or _beside(f"https://{_name(remote)}/{path.lstrip('/')}"), headers
    )


def _beside(url: str) -> str:
    bare = url.rstrip("/")
    return f"{bare}{'' if bare.endswith('.git') else '.git'}/info/lfs"
