"""The bare mirror of the repository: resolves the ref, fetches commits, exports files.

The mirror is a cache: a damaged one is removed and made anew. Serving processes never read it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from modelsync.deadline import Deadline
from modelsync.errors import MirrorCorrupt, RefNotFound, SyncError
from modelsync.files import remove_tree, storage
from modelsync.git import auth, maintenance, refs, tree
from modelsync.git.commit_files import CommitFiles, inspect
from modelsync.git.process import GitRunner, session
from modelsync.git.refs import Ref
from modelsync.git.retries import retried
from modelsync.git.tree import Export
from modelsync.git.url import parse, validate
from modelsync.models.types import TreeHash
from modelsync.settings import Git

T = TypeVar("T")

_log = logging.getLogger(__name__)

_QUIETLY = (
    "-q",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
    "--no-auto-maintenance",
    "--force",
)


class Mirror:
    """The mirror at `home`/repo.git.

    The caller holds `Releases.lock()`, so a lock file of git's is one that a killed git left.
    `nearby` is another mirror, which is asked first for a commit; with `offline` it is asked alone.
    """

    def __init__(
        self, home: Path, git: Git, *, nearby: Path | None = None, offline: bool = False
    ) -> None:
        """Raise SettingsError if the URL, the ref or the login is not allowed."""
        self._remote = validate(git)
        auth.validate(git, self._remote)
        self._git = git
        self._home = home
        self._nearby = nearby
        self._offline = offline
        self._path = home.absolute() / "repo.git"
        self._listing: str | None = None

    @property
    def path(self) -> Path:
        """The folder of the mirror, which may not exist yet."""
        return self._path

    # --- the ref ---

    def resolve(self, deadline: Deadline) -> str:
        """Ask the remote which commit the ref is now. Raises SyncError.

        A pinned revision and a full hash are returned as they are; `fetch` finds out whether the
        commit exists. Otherwise this is one `ls-remote`; only an abbreviated hash of no advertised
        commit takes a fetch of the whole history.
        """
        ref = Ref(self._git.ref)
        if commit := self._git.revision.commit or ref.commit:
            return commit
        with self._session(deadline) as run:
            patterns = (*ref.patterns, *refs.LABELS) if ref.patterns else ()
            listing = self._listed(run, deadline, patterns)
            if found := ref.find(listing):
                return found
            if not ref.may_be_abbreviated:
                raise RefNotFound(self._not_found())
            return self._healed(run, deadline, lambda: self._expanded(run, ref.text, deadline))

    def tags(self, deadline: Deadline) -> dict[str, str]:
        """The tags with an `@` or a `#` in their names, and their commits, as `resolve` saw them.

        One `ls-remote` where `resolve` needed none. Raises SyncError.
        """
        if self._listing is None:
            with self._session(deadline) as run:
                self._listed(run, deadline, refs.LABELS)
        found = refs.tags(self._listing or "")
        return {name: commit for name, commit in found.items() if "@" in name or "#" in name}

    def _listed(self, run: GitRunner, deadline: Deadline, patterns: Iterable[str]) -> str:
        """List the refs of the remote that fit the patterns; all of them without one."""
        self._listing = retried(
            deadline, lambda: run("ls-remote", "--", self._remote.url, *patterns)
        )
        return self._listing

    def _not_found(self) -> str:
        host = self._remote.host
        if self._git.ref == "HEAD":
            return f"the repository at {host} is empty, or its default branch does not exist"
        return f"there is no branch, tag or commit {self._git.ref!r} at {host}"

    def _expanded(self, run: GitRunner, abbreviated: str, deadline: Deadline) -> str:
        """The one commit of the whole history with this abbreviated hash. Raises RefNotFound."""
        for fetch in (False, True):
            if fetch:
                retried(deadline, lambda: self._fetch_everything(run))
            listing = run("rev-parse", f"--disambiguate={abbreviated}", local=True)
            commits = {sha for sha in listing.split() if _is_commit(run, sha)}
            if len(commits) > 1:
                raise RefNotFound(f"the abbreviated hash {abbreviated} fits several commits")
            if commits:
                return commits.pop()
        raise RefNotFound(self._not_found())

    # --- objects ---

    def fetch(self, commit: str, deadline: Deadline) -> None:
        """Make sure that the mirror holds all files of a commit; the remote is asked only if not.

        Only this commit is fetched, without its history; a server that does not support this sends
        everything. A commit is the same from every source, so the mirror nearby is asked first.
        Raises SyncError; MirrorCorrupt only if a new mirror is damaged as well.
        """
        with self._session(deadline) as run:
            self._healed(run, deadline, lambda: self._ensure(run, commit, deadline))

    def _ensure(self, run: GitRunner, commit: str, deadline: Deadline) -> None:
        """Fetch a commit, unless its ref says that the mirror holds it."""
        with storage():
            maintenance.clear_up(self._path)
        # The ref is the last thing that a fetch writes, after git has checked that nothing is
        # missing below it.
        kept = run("for-each-ref", "--format=%(objectname) %(refname)", "refs/kept", local=True)
        if f"{commit} refs/kept/{commit}" in kept.splitlines():
            return
        try:
            if not self._fetch_nearby(run, commit):
                retried(deadline, lambda: self._fetch_from_remote(run, commit))
        except SyncError:
            with suppress(OSError):  # half a pack may be all that fills the disk
                maintenance.clear_up(self._path)
            raise
        maintenance.repack(run, self._path, commit)

    def _fetch_nearby(self, run: GitRunner, commit: str) -> bool:
        """Fetch from the mirror nearby; False if that lacks the commit or is damaged.

        Raises RefNotFound if no other source may be asked (`offline`).
        """
        if self._nearby and (self._nearby / "refs/kept" / commit).is_file():
            there = parse(Git(path=str(self._nearby), protocols=frozenset({"file"})))
            try:
                _fetch_commit(run.towards(there), there.url, commit)
                return True
            except SyncError as error:
                _log.warning(
                    "the commit %s cannot be fetched from the cache: %s", commit[:12], error
                )
        if self._offline:
            raise RefNotFound(f"the cache does not hold the commit {commit}")
        return False

    def _fetch_from_remote(self, run: GitRunner, commit: str) -> None:
        """Fetch a commit alone, or with everything else if the server supports no less.

        Raises RefNotFound if it does not exist, or is not a commit.
        """
        try:
            _fetch_commit(run, self._remote.url, commit)
        except SyncError as error:
            # The server serves no unadvertised commit, or none without its history, or it is a
            # plain file server over HTTP (git's "dumb" protocol).
            if type(error) is not SyncError and not isinstance(error, RefNotFound):
                raise
            self._fetch_everything(run)
            try:
                run("cat-file", "-e", commit, local=True)
            except MirrorCorrupt:
                raise RefNotFound(
                    f"{self._remote.host} does not have the commit {commit}, "
                    "or no branch or tag leads to it any more"
                ) from None
            run("update-ref", f"refs/kept/{commit}", commit, local=True)
        if not _is_commit(run, commit):
            run("update-ref", "-d", f"refs/kept/{commit}", local=True)
            raise RefNotFound(f"{commit} is not a commit")

    def _fetch_everything(self, run: GitRunner) -> None:
        unshallow = ["--unshallow"] if (self._path / "shallow").exists() else []
        refs = ("+refs/heads/*:refs/remote/heads/*", "+refs/tags/*:refs/remote/tags/*")
        run("fetch", *_QUIETLY, "--prune", *unshallow, "--", self._remote.url, *refs)

    # --- folders ---

    def versions(self, commit: str, deadline: Deadline) -> dict[str, TreeHash]:
        """The tree hash of each folder in the subdirectory, without those that start with a dot.

        Raises NoModels if the commit does not have the subdirectory, and the SyncErrors of
        `fetch`.
        """
        with self._session(deadline) as run:
            return self._healed(
                run, deadline, lambda: tree.versions(run, commit, self._git.subdir), commit
            )

    def suggested_subdir(self, commit: str, deadline: Deadline) -> str | None:
        """The folder of the commit that holds `<Model>/etls.py`; None if there is none.

        For the message of NoModels: most repositories have their models in `models_serve`.
        """
        with self._session(deadline) as run:
            return tree.suggested_subdir(run, commit)

    def export(self, commit: str, target: Path, deadline: Deadline) -> Export:
        """Write the model folders of a commit, of the models that are served, into the new folder
        `target`, without other files.

        Byte for byte as committed: no line endings are converted, and each hash is verified. On an
        error `target` is removed. Raises SyncError as `fetch`.
        """
        with self._session(deadline) as run:
            try:
                return self._healed(
                    run,
                    deadline,
                    lambda: tree.export(run, commit, self._git.subdir, target, self._git.models),
                    commit,
                )
            except BaseException:
                with suppress(OSError):
                    remove_tree(target)
                raise

    def inspect(self, commit: str, deadline: Deadline, action: Callable[[CommitFiles], T]) -> T:
        """Call `action` with the files of a commit, and again if the mirror was damaged."""
        with self._session(deadline) as run:
            return self._healed(run, deadline, lambda: inspect(run, commit, action), commit)

    @contextmanager
    def files(
        self, commit: str, subdir: str, deadline: Deadline
    ) -> Iterator[Callable[[str], dict[str, bytes]]]:
        """A function for `tree.files` of a folder of the commit. Raises SyncError, as it does."""
        with self._session(deadline) as run:
            yield lambda path: tree.files(run, commit, subdir, path)

    # --- damage ---

    def _healed(
        self, run: GitRunner, deadline: Deadline, action: Callable[[], T], commit: str | None = None
    ) -> T:
        """Call `action`; if the mirror turns out to be damaged, retry with a new one.

        The new mirror gets `commit` first. Raises SyncError.
        """
        try:
            with storage():
                maintenance.create(run, self._path)
            return action()
        except SyncError as error:
            # A failure that has no explanation (a plain SyncError) may be damage, too.
            if type(error) not in {SyncError, MirrorCorrupt}:
                raise
            deadline.check()  # a git that was killed at the deadline looks like damage
            _log.warning("the mirror is being rebuilt: %s", error)
        with storage():
            remove_tree(self._path)
            maintenance.create(run, self._path)
        try:
            if commit:
                self._ensure(run, commit, deadline)
            return action()
        except MirrorCorrupt:
            raise MirrorCorrupt(
                "the mirror was damaged and a new one is as well; "
                f"the repository at {self._remote.host} may be damaged"
            ) from None

    def _session(self, deadline: Deadline) -> AbstractContextManager[GitRunner]:
        return session(self._home, self._git, self._remote, self._path, deadline)


def _fetch_commit(run: GitRunner, url: str, commit: str) -> None:
    """Fetch one commit without its history, and write its ref in `refs/kept`."""
    run("fetch", *_QUIETLY, "--depth=1", "--", url, f"+{commit}:refs/kept/{commit}")


def _is_commit(run: GitRunner, sha: str) -> bool:
    """Whether an object that the mirror holds is a commit. Raises MirrorCorrupt."""
    return run("cat-file", "-t", sha, local=True).strip() == "commit"
