"""The environments of other processes: models get no secret, git only what it needs."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

import orjson

from modelsync.settings.groups import entries


def secret_names() -> frozenset[str]:
    """The environment variables whose values no model may see."""
    return frozenset(entry.name for entry in entries() if entry.secret)


OLDER_PASSWORD, PASSWORD = "password", "gitpassword"


def follows_password(environ: Mapping[str, str]) -> bool:
    """Return whether the variable `password` is that of the repository, as in older installations.

    A service without `gitPath` has none, and the variable belongs to somebody else.
    """
    return bool(environ.get("gitPath", "").strip() and environ.get(OLDER_PASSWORD))


def hide_secrets(environ: MutableMapping[str, str]) -> None:
    """Remove the service's own secrets from an environment before model code runs in it; all other
    variables stay.
    """
    if follows_password(environ):
        del environ[OLDER_PASSWORD]
    for name in secret_names():
        environ.pop(name, None)


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without the service's secrets, for a process that runs model code."""
    child = dict(os.environ if environ is None else environ)
    hide_secrets(child)
    return child


def user_cache(environ: Mapping[str, str] | None = None) -> Path:
    """The folder of this user for what can be made again."""
    given = os.environ if environ is None else environ
    return Path(given.get("XDG_CACHE_HOME") or Path.home() / ".cache", "modelsync")


def git_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables that git needs: PATH, proxies and certificate authorities."""
    given = os.environ if environ is None else environ
    names = {
        "https_proxy",
        "http_proxy",
        "all_proxy",
        "no_proxy",
        "git_ssl_cainfo",
        "git_ssl_capath",
    }
    child = {
        name: value for name, value in given.items() if name == "PATH" or name.lower() in names
    }
    if given.get("SSL_CERT_FILE"):  # Python and OpenSSL read it; git has a name of its own for it
        child.setdefault("GIT_SSL_CAINFO", given["SSL_CERT_FILE"])
    return child


def hand_down(environ: Mapping[str, str] | None = None) -> int:
    """An inheritable descriptor with the secrets that a child's environment does not hold.

    The child's `load` reads them from the descriptor in `MODELSYNC_SECRETS_FD`. The caller closes
    it once the child has started.
    """
    given = os.environ if environ is None else environ
    secrets = {name: given[name] for name in secret_names() if given.get(name)}
    if follows_password(given):
        secrets.setdefault(OLDER_PASSWORD, given[OLDER_PASSWORD])
    fd = os.memfd_create("modelsync-secrets", 0)
    os.write(fd, orjson.dumps(secrets))
    return fd


def handed_down(environ: MutableMapping[str, str]) -> dict[str, str]:
    """The secrets that `hand_down` gave; the descriptor and its variable are gone afterwards."""
    if not (number := environ.pop("MODELSYNC_SECRETS_FD", "")):
        return {}
    with open(int(number), "rb") as file:  # noqa: PTH123  a descriptor, not a path
        file.seek(0)
        secrets: dict[str, str] = orjson.loads(file.read())
    return secrets
