"""The download of one Git LFS object: verified while it arrives, continued where it broke off."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from modelsync.errors import ObjectAltered, ObjectUnavailable
from modelsync.git.lfs.batch import LfsDownload, refusal
from modelsync.git.lfs.connection import LfsAnswer, LfsConnection
from modelsync.models.lfs_pointer import LfsPointer


def download(
    connection: LfsConnection, place: LfsDownload, pointer: LfsPointer, file: Path
) -> None:
    """Fetch an object into `file`, which may hold the beginning of it.

    Raises ObjectUnavailable, after which `file` may hold more of it; ObjectAltered if the server
    has other bytes of that size; OSError if the disk fails.
    """
    begun, digest = _begun(file, pointer.size)
    if begun < pointer.size or not begun:
        headers = {"Accept-Encoding": "identity", "User-Agent": "modelsync"}
        if begun:
            headers["Range"] = f"bytes={begun}-"
        with connection.open("GET", place.url, headers, place.credentials) as answer:
            if not _continues(answer, begun):
                begun, digest = 0, hashlib.sha256()
            size = _receive(answer, file, begun, pointer.size, digest)
        if size < pointer.size:
            raise ObjectUnavailable(
                f"{answer.host} broke off after {size} of {pointer.size} bytes", tries_again=True
            )
        if size > pointer.size:
            file.unlink(missing_ok=True)
            raise ObjectUnavailable(f"{answer.host} sends more than its {pointer.size} bytes")
    if digest.hexdigest() == pointer.oid:
        return
    file.unlink(missing_ok=True)
    if begun:  # the beginning may be what is damaged
        raise ObjectUnavailable("what had come of it was damaged", tries_again=True)
    raise ObjectAltered("the server has other bytes than those that were committed (SHA-256)")


def _begun(file: Path, size: int) -> tuple[int, hashlib._Hash]:
    """The bytes that `file` has of an object, and their digest; too many count as none."""
    digest, begun = hashlib.sha256(), 0
    with suppress(OSError), file.open("rb") as opened:
        while part := opened.read(1 << 20):
            digest.update(part)
            begun += len(part)
    return (begun, digest) if begun <= size else (0, hashlib.sha256())


def _continues(answer: LfsAnswer, begun: int) -> bool:
    """Whether a body goes on after the first `begun` bytes. Raises ObjectUnavailable."""
    if answer.status == 206 and begun:
        return answer.headers.get("Content-Range", "").startswith(f"bytes {begun}-")
    if answer.status == 200:
        return False
    if answer.status in {401, 403, 416}:  # a new link may help, or a new beginning
        raise ObjectUnavailable(
            f"{answer.host} refuses the link ({answer.status})", tries_again=True
        )
    raise refusal(answer, "", ())


def _receive(answer: LfsAnswer, file: Path, begun: int, size: int, digest: hashlib._Hash) -> int:
    """Write a body after the first `begun` bytes of `file`; returns the size that it has then."""
    with file.open("r+b" if begun else "wb") as opened:
        opened.seek(begun)
        opened.truncate()
        for part in answer.read(size - begun):
            digest.update(part)
            opened.write(part)
            begun += len(part)
    return begun
