"""The bare mirror of the repository: which commit is wanted, and all that it holds.

The mirror is a cache: whatever is wrong with it is cured by making it anew. What serves never reads
it.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TypeVar

from modelsync.deadline import Deadline
from modelsync.errors import MirrorCorrupt, RefNotFound, SyncError
from modelsync.files import remove_tree, storage
from modelsync.git import tree
from modelsync.git.process import GitRunner, session
from modelsync.git.tree import Export
from modelsync.git.url import parse, validate
from modelsync.models.types import TreeHash
from modelsync.settings import Git

ATTEMPTS = 5
"""Tries of one call to the remote, about 8 s together; who called the sync tries again later."""

PACKS = 50
"""Each fetch adds a pack; over this many they become one, and what no kept commit needs goes."""

KEPT = 10
"""Commits that are kept then, those fetched last."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ABBREVIATED = re.compile(r"[0-9a-f]{4,39}")

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Mirror:
    """The mirror at `home`/repo.git.

    Whoever uses it holds `Releases.lock()`, so any lock file of git's is a dead run's. `nearby` is
    another mirror that is asked first for a commit; `offline`, and nobody else is.
    """

    def __init__(
        self, home: Path, git: Git, *, nearby: Path | None = None, offline: bool = False
    ) -> None:
        """Raise SettingsError where the URL or the ref is not allowed (see `validate`)."""
        validate(git)
        self._git = git
        self._remote = parse(git)
        self._home = home
        self._nearby = nearby
        self._offline = offline
        self._path = home.absolute() / "repo.git"

    @property
    def path(self) -> Path:
        """Where it is, whether it has been made yet or not."""
        return self._path

    # --- what is wanted ---

    def resolve(self, deadline: Deadline) -> str:
        """Ask the remote which commit the ref is now: HEAD, a branch, else a tag (peeled), else a
        commit's hash.

        A pinned revision and a full hash are taken at their word; `fetch` finds out whether it
        exists. One `ls-remote`; only an abbreviated hash that nothing advertised starts with takes
        a fetch of all history. Raises SyncError.
        """
        if self._git.revision:
            return self._git.revision.commit
        ref = self._git.ref
        if _COMMIT.fullmatch(ref.lower()):
            return ref.lower()
        names = (
            [ref]
            if ref == "HEAD" or ref.startswith("refs/")
            else [f"refs/heads/{ref}", f"refs/tags/{ref}"]
        )
        maybe_commit = bool(_ABBREVIATED.fullmatch(ref))
        patterns = (
            []
            if maybe_commit
            else [pattern for name in names for pattern in (name, f"{name}^{{}}")]
        )
        with self._session(deadline) as run:
            listing = self._retried(
                deadline, lambda: run("ls-remote", "--", self._remote.url, *patterns)
            )
            shas = {
                name: sha
                for sha, _, name in (line.partition("\t") for line in listing.splitlines())
            }
            for name in names:
                if sha := shas.get(f"{name}^{{}}") or shas.get(name):
                    return sha
            if not maybe_commit:
                raise RefNotFound(self._not_found(bool(shas)))
            if len(found := {sha for sha in shas.values() if sha.startswith(ref)}) == 1:
                return found.pop()
            return self._healed(run, deadline, lambda: self._expanded(run, ref, deadline))

    def _not_found(self, others: bool) -> str:
        if self._git.ref == "HEAD":
            return f"the repository at {self._remote.host} is empty, or its default branch does not exist"
        return f"there is no branch, tag or commit {self._git.ref!r} at {self._remote.host}"

    def _expanded(self, run: GitRunner, abbreviated: str, deadline: Deadline) -> str:
        """The one commit whose hash starts so, from the whole history."""
        for fetch in (False, True):
            if fetch:
                self._retried(deadline, lambda: self._fetch_everything(run))
            listing = run("rev-parse", f"--disambiguate={abbreviated}", local=True)
            commits = {
                sha
                for sha in listing.split()
                if run("cat-file", "-t", sha, local=True).strip() == "commit"
            }
            if len(commits) > 1:
                raise RefNotFound(f"the abbreviated hash {abbreviated} fits several commits")
            if commits:
                return commits.pop()
        raise RefNotFound(self._not_found(True))

    # --- its objects ---

    def fetch(self, commit: str, deadline: Deadline) -> None:
        """Make sure that the mirror holds all of a commit's files; nothing is asked where it does.

        Only this commit is asked for, without its history; from a server that cannot do that,
        everything. A commit is the same wherever it comes from, so the mirror nearby is asked
        first. Raises SyncError; MirrorCorrupt only where a new mirror is damaged as well.
        """
        with self._session(deadline) as run:
            self._healed(run, deadline, lambda: self._ensure(run, commit, deadline))

    def _ensure(self, run: GitRunner, commit: str, deadline: Deadline) -> None:
        with storage():
            self._clear_dead_runs()
        # The ref is the last thing that a fetch writes, after git has checked that nothing is
        # missing below it.
        kept = run("for-each-ref", "--format=%(objectname) %(refname)", "refs/kept", local=True)
        if f"{commit} refs/kept/{commit}" in kept.splitlines():
            return
        try:
            if not self._fetch_nearby(run, commit):
                self._retried(deadline, lambda: self._fetch_from_remote(run, commit))
        except SyncError:
            with suppress(OSError):  # half a pack may be all that fills the disk
                self._clear_dead_runs()
            raise
        self._tidy(run, commit)

    def _fetch_nearby(self, run: GitRunner, commit: str) -> bool:
        """Fetch from the mirror nearby; False where that has not got it, or is damaged."""
        if self._nearby and (self._nearby / "refs/kept" / commit).is_file():
            there = parse(Git(path=str(self._nearby), protocols=frozenset({"file"})))
            try:
                run.towards(there)(
                    "fetch",
                    *_QUIETLY,
                    "--depth=1",
                    "--",
                    there.url,
                    f"+{commit}:refs/kept/{commit}",
                )
                return True
            except SyncError as error:
                _log.warning("the commit %s cannot be had from the cache: %s", commit[:12], error)
        if self._offline:
            raise RefNotFound(f"the cache does not hold the commit {commit}")
        return False

    def _fetch_from_remote(self, run: GitRunner, commit: str) -> None:
        try:
            run(
                "fetch",
                *_QUIETLY,
                "--depth=1",
                "--",
                self._remote.url,
                f"+{commit}:refs/kept/{commit}",
            )
        except SyncError as error:
            # A server that serves no unadvertised commit, or none without its history, or that
            # talks plain HTTP only.
            if type(error) is not SyncError and not isinstance(error, RefNotFound):
                raise
            self._fetch_everything(run)
            try:
                run("cat-file", "-e", commit, local=True)
            except MirrorCorrupt:
                raise RefNotFound(
                    f"{self._remote.host} does not have the commit {commit}, or no branch or tag leads to it any more"
                ) from None
            run("update-ref", f"refs/kept/{commit}", commit, local=True)
        if run("cat-file", "-t", commit, local=True).strip() != "commit":
            run("update-ref", "-d", f"refs/kept/{commit}", local=True)
            raise RefNotFound(f"{commit} is no commit")

    def _fetch_everything(self, run: GitRunner) -> None:
        unshallow = ["--unshallow"] if (self._path / "shallow").exists() else []
        refs = ("+refs/heads/*:refs/remote/heads/*", "+refs/tags/*:refs/remote/tags/*")
        run("fetch", *_QUIETLY, "--prune", *unshallow, "--", self._remote.url, *refs)

    def _tidy(self, run: GitRunner, commit: str) -> None:
        """Keep the mirror from growing for ever; a failure only means that it is done another time."""
        if len(list(self._path.glob("objects/pack/*.pack"))) <= PACKS:
            return
        with suppress(SyncError, OSError):
            kept = sorted(
                (self._path / "refs/kept").iterdir(), key=lambda file: file.stat().st_mtime
            )
            spared = {f"refs/kept/{file.name}" for file in kept[-KEPT:]} | {f"refs/kept/{commit}"}
            for line in run("for-each-ref", "--format=%(refname)", local=True).splitlines():
                if line not in spared:
                    run("update-ref", "-d", line, local=True)
            run("repack", "-a", "-d", "-q", local=True)

    # --- its folders ---

    def versions(self, commit: str, deadline: Deadline) -> dict[str, TreeHash]:
        """Give the tree hash of every folder directly under the subdirectory, except those that
        start with a dot.

        Raises NoModels where the commit does not have the subdirectory, and the other SyncErrors as
        `fetch`.
        """
        with self._session(deadline) as run:
            return self._healed(
                run, deadline, lambda: tree.versions(run, commit, self._git.subdir), commit
            )

    def suggested_subdir(self, commit: str, deadline: Deadline) -> str | None:
        """Name the folder that holds `<Model>/etls.py` where the subdirectory itself has none; None
        where none does.

        It is for the message of NoModels: most repositories have their models in `models_serve`.
        """
        with self._session(deadline) as run:
            return tree.suggested_subdir(run, commit)

    def export(self, commit: str, target: Path, deadline: Deadline) -> Export:
        """Write the model folders of a commit into the new folder `target`; files beside them are
        not written.

        Byte for byte as committed: no line endings are converted, no LFS pointer is replaced. Every
        hash is checked again. On any error `target` is removed. Raises SyncError as `fetch`.
        """
        with self._session(deadline) as run:
            try:
                return self._healed(
                    run,
                    deadline,
                    lambda: tree.export(run, commit, self._git.subdir, target),
                    commit,
                )
            except BaseException:
                with suppress(OSError):
                    remove_tree(target)
                raise

    # --- trying again ---

    def _retried(self, deadline: Deadline, action: Callable[[], T]) -> T:
        """Do it, and again where the remote failed in a way that may pass, until it is too late to
        try once more.
        """
        for attempt in range(ATTEMPTS):
            deadline.check()
            try:
                return action()
            except SyncError as error:
                wait = 0.5 * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - spreads replicas out, guards nothing
                if not error.transient or attempt == ATTEMPTS - 1 or wait >= deadline.remaining():
                    raise
                _log.info("the remote failed, trying again in %.1f s: %s", wait, error)
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _healed(
        self, run: GitRunner, deadline: Deadline, action: Callable[[], T], commit: str | None = None
    ) -> T:
        """Do it; where the mirror turns out to be damaged, do it once more with a new one."""
        try:
            with storage():
                self._create(run)
            return action()
        except SyncError as error:
            if type(error) not in {
                SyncError,
                MirrorCorrupt,
            }:  # what nothing explains may be damage too
                raise
            deadline.check()  # and so may what a git leaves that was killed in time
            _log.warning("the mirror is made anew: %s", error)
        with storage():
            remove_tree(self._path)
            self._create(run)
        try:
            if commit:
                self._ensure(run, commit, deadline)
            return action()
        except MirrorCorrupt:
            raise MirrorCorrupt(
                f"the mirror was damaged and a new one is as well; the repository at {self._remote.host} may be damaged"
            ) from None

    def _create(self, run: GitRunner) -> None:
        """An empty mirror, there as a whole or not at all."""
        if self._path.is_dir():
            return
        remove_tree(self._path)
        run(
            "init",
            "-q",
            "--bare",
            "--template=",
            str(run.private / "new.git"),
            local=True,
            repository=False,
        )
        (run.private / "new.git").rename(self._path)

    def _clear_dead_runs(self) -> None:
        """Remove what a killed git left: its locks would stop the next one, its temporary packs
        fill the disk.
        """
        for pattern in (
            "**/*.lock",
            "objects/pack/tmp_*",
            "objects/pack/*.keep",
            "objects/??/tmp_*",
            "objects/incoming-*",
        ):
            for left in self._path.glob(pattern):
                remove_tree(left)

    def _session(self, deadline: Deadline) -> AbstractContextManager[GitRunner]:
        return session(self._home, self._git, self._remote, self._path, deadline)


_QUIETLY = (
    "-q",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
    "--no-auto-maintenance",
    "--force",
)
