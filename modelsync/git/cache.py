"""The cache of the repository: a mirror on a volume that all pods share.

A pod starts from it while the remote cannot be reached.

    folder/<digest of the URL>/repo.git         commits, as in any mirror
    folder/<digest of the URL>/seen/<ref>       the commit that the ref was last
    folder/<digest of the URL>/lock             held by the process that writes

No sync depends on the cache: a failed write is logged, an unreadable entry counts as missing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from modelsync import locks
from modelsync.deadline import Deadline
from modelsync.errors import SyncError
from modelsync.files import TEMPORARY, remove_tree, storage, write_atomically
from modelsync.git.mirror import Mirror
from modelsync.settings import Git

WRITE_TIMEOUT = 20.0
"""Seconds that writing a commit may take; the sync continues without it."""

_log = logging.getLogger(__name__)


class MirrorCache:
    """The part of the cache that belongs to one repository: the folder `home`, named by the digest
    of its URL.
    """

    def __init__(self, folder: Path, git: Git) -> None:
        self.home = folder.absolute() / hashlib.sha256(git.path.encode()).hexdigest()[:16]
        self._seen = self.home / "seen" / quote(git.ref, safe="")
        self.mirror = self.home / "repo.git"

    def seen(self) -> str | None:
        """The commit that the ref was when a pod last fetched it; None if no pod has."""
        try:
            commit = self._seen.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        return commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None

    def keep(self, mirror: Path, commit: str, *, tip: bool) -> None:
        """Copy a commit from a mirror that holds it; a failure is logged.

        `tip`: the ref points to the commit now, which `seen` returns from now on.
        """
        if (self.mirror / "refs/kept" / commit).is_file() and (not tip or self.seen() == commit):
            return
        deadline = Deadline(WRITE_TIMEOUT)
        try:
            with storage():
                (self.home / "seen").mkdir(parents=True, exist_ok=True)
            with self._lock(deadline):
                with storage():
                    for left in self.home.glob(f".*{TEMPORARY}"):
                        remove_tree(left)
                Mirror(self.home, Git(path=str(mirror), protocols=frozenset({"file"}))).fetch(
                    commit, deadline
                )
                if tip:
                    with storage():
                        write_atomically(self._seen, f"{commit}\n".encode())
        except SyncError as error:
            _log.warning("the cache cannot be updated: %s", error)

    @contextmanager
    def _lock(self, deadline: Deadline) -> Iterator[None]:
        """Hold the lock of the cache, as far as the volume supports locks.

        Raises SyncTimeout, StorageFailed.
        """
        with storage():
            number = locks.open_for_lock(self.home / "lock")
        try:
            with suppress(OSError):  # a volume without locks: git's own are enough for two at once
                locks.lock(number, deadline=deadline)
            yield
        finally:
            os.close(number)
