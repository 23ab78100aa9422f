"""Requests that are repeated while the first one is still read: one of them becomes a job.

The draft of the `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header, section 2.6)
answers the others with 409; once the first has its answer, they get its job.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from modelsync import locks
from modelsync.errors import RequestInProgress


@contextmanager
def alone(home: Path, model: str, key: str) -> Iterator[None]:
    """Hold the idempotency key of a model on this machine; an empty key needs nothing.

    Raises RequestInProgress if another request holds it.
    """
    if not key:
        yield
        return
    digest = sha256(f"{model}\0{key}".encode()).hexdigest()
    file = home / "run" / "requests" / f"{digest}.lock"
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = locks.open_for_lock(file)
    try:
        if not locks.try_lock(descriptor) or not _is_still(descriptor, file):
            raise RequestInProgress(
                "a request with this Idempotency-Key is being read; ask again for its job"
            )
        try:
            yield
        finally:
            file.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_still(descriptor: int, file: Path) -> bool:
    """Whether the file that is locked is the one that others would lock."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), file.stat())
    return False
