"""The batch API of Git LFS: asks a server where objects can be downloaded.

See https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md. Nothing that a server says is
taken for more than a hint: size and SHA-256 are those of the commit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelsync.errors import ObjectUnavailable
from modelsync.git.diagnostics import redacted
from modelsync.git.lfs.connection import LfsAnswer, LfsConnection, host, origin
from modelsync.git.lfs.endpoint import LfsEndpoint, checked_link
from modelsync.models.lfs_pointer import LfsPointer

OBJECTS = 100
"""Objects of one request, as many as the client git-lfs names."""

_ANSWER = 8 * 1024**2
_TYPE = "application/vnd.git-lfs+json"
LACKS = "does not have it"
"""What is said of a server that answers, and lacks an object."""

_MISSING = f"the server {{host}} {LACKS}"
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class LfsDownload:
    """Where one object can be had, and the headers for the host there."""

    url: str
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)


Answers = dict[LfsPointer, LfsDownload | ObjectUnavailable]


def request(
    connection: LfsConnection,
    endpoint: LfsEndpoint,
    pointers: Sequence[LfsPointer],
    secrets: tuple[str, ...],
) -> Answers:
    """Ask for objects, `OBJECTS` at most: for each the place or why there is none.

    Raises ObjectUnavailable if the server gives no answer for any. `secrets` are left out of what
    it says.
    """
    body = {
        "operation": "download",
        "transfers": ["basic"],
        "hash_algo": "sha256",
        "objects": [{"oid": one.oid, "size": one.size} for one in pointers],
    }
    url = f"{endpoint.url}/objects/batch"
    with connection.open(
        "POST",
        url,
        {"Accept": _TYPE, "Content-Type": _TYPE, "User-Agent": "modelsync"},
        endpoint.credentials,
        json.dumps(body).encode(),
    ) as answer:
        too_large = answer.status == 413 and len(pointers) > 1
        found = {} if too_large else _content(answer, secrets)
    if too_large:
        half = len(pointers) // 2
        parts = pointers[:half], pointers[half:]
        return request(connection, endpoint, parts[0], secrets) | request(
            connection, endpoint, parts[1], secrets
        )
    return {one: _action(found.get(one.oid), endpoint, secrets) for one in pointers}


def _content(answer: LfsAnswer, secrets: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The objects of an answer by SHA-256. Raises ObjectUnavailable."""
    data = b"".join(answer.read(_ANSWER))
    name = answer.host
    try:
        said = json.loads(data[: _ANSWER + 1])
        if answer.status != 200:
            raise refusal(answer, str(said.get("message", "")), secrets)
        if said.get("transfer", "basic") != "basic" or said.get("hash_algo", "sha256") != "sha256":
            raise ObjectUnavailable(f"the server {name} has no basic transfer")
        return {one["oid"]: one for one in said["objects"]}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        if answer.status != 200:
            raise refusal(answer, "", secrets) from None
        raise ObjectUnavailable(f"{name} answers something else than a Git LFS server") from None


def refusal(answer: LfsAnswer, message: str, secrets: tuple[str, ...]) -> ObjectUnavailable:
    """The error for an answer with a status of failure."""
    name, status = answer.host, answer.status
    said = f": {redacted(' '.join(message.split()), secrets)}" if message.strip() else ""
    if status in _AGAIN:
        return ObjectUnavailable(
            f"the server {name} answers {status}{said}",
            tries_again=True,
            pause=answer.pause,
        )
    if status in {401, 403}:
        return ObjectUnavailable(f"the server {name} refuses the credentials{said}")
    if status in {404, 410} and not said:
        return ObjectUnavailable(
            f"there is no Git LFS server at {name}, or it does not let these credentials read"
        )
    if status in {404, 410}:
        return ObjectUnavailable(f"{_MISSING.format(host=name)}{said}")
    return ObjectUnavailable(f"the server {name} answers {status}{said}")


def _action(
    found: dict[str, Any] | None, endpoint: LfsEndpoint, secrets: tuple[str, ...]
) -> LfsDownload | ObjectUnavailable:
    """What a server says of one object: where it is, or why not."""
    name = host(endpoint.url)
    try:
        if found is None:
            return ObjectUnavailable(f"the server {name} says nothing of it", tries_again=True)
        if error := found.get("error"):
            code, text = int(error.get("code", 0)), str(error.get("message", ""))
            if code in {404, 410}:
                return ObjectUnavailable(_MISSING.format(host=name))
            said = redacted(" ".join(text.split()), secrets)
            return ObjectUnavailable(
                f"the server {name} answers {code}: {said}", tries_again=code in _AGAIN
            )
        action = (found.get("actions") or {}).get("download")
        if not action:
            return ObjectUnavailable(_MISSING.format(host=name))
        url, headers = checked_link(action)
        at_home = origin(url) == origin(endpoint.url)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return ObjectUnavailable(f"{name} answers something else than a Git LFS server")
    has_login = found.get("authenticated") or "authorization" in map(str.lower, headers)
    if at_home and not has_login:
        headers = {**endpoint.credentials, **headers}
    return LfsDownload(url, headers)
