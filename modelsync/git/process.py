"""Git as a process: fixed arguments, an environment from scratch, and dead in time. The only module
that knows git.

It is run through GitPython. Nothing of a repository ever runs here: there is no checkout, so no
hook, filter, attribute or submodule takes part.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from modelsync.deadline import Deadline
from modelsync.errors import MirrorCorrupt, StorageFailed, SyncError
from modelsync.files import TEMPORARY, remove_tree, storage
from modelsync.git.url import Remote, environment, explain, password
from modelsync.settings import Git

# Given on the command line, where they outrank whatever the mirror's own configuration says.
# Objects are not fsck'ed on arrival: their hashes are, and every path is checked when it is
# written, so that an odd entry costs one model only.
_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.askPass": "",
    "credential.helper": "",
    "protocol.version": "2",
    "http.sslVerify": "true",
    "http.followRedirects": "initial",
    "http.lowSpeedLimit": "100",  # bytes/s, over http.lowSpeedTime, which depends on the deadline
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    # always a pack, which is there as a whole or not; never loose objects one by one
    "transfer.unpackLimit": "1",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "safe.directory": "*",  # a volume may belong to another user than the one that runs here
    "advice.detachedHead": "false",
}


@contextmanager
def session(
    home: Path, git: Git, remote: Remote, repository: Path, deadline: Deadline
) -> Iterator[GitRunner]:
    """Git on one repository, with an environment and a private folder of its own in `home`, both
    gone afterwards.

    Raises SyncError.
    """
    deadline.check()
    with storage():
        home.mkdir(parents=True, exist_ok=True)
        private = Path(tempfile.mkdtemp(prefix=".git-", suffix=TEMPORARY, dir=home.absolute()))
    try:
        yield GitRunner(git, remote, repository, private, deadline)
    finally:
        with suppress(OSError):
            remove_tree(private)


class GitRunner:
    """Runs git for one operation: fixed arguments, an environment from scratch, all of its
    processes dead in time.
    """

    def __init__(
        self, git: Git, remote: Remote, repository: Path, private: Path, deadline: Deadline
    ) -> None:
        self.private = private
        self._repository = repository
        self._remote = remote
        self._deadline = deadline
        pause = max(1.0, min(30.0, deadline.seconds / 3))
        with storage():
            self._environ = environment(git, remote, private, pause)
        self._secrets = (password(git),)
        self._config = [part for item in _CONFIG.items() for part in ("-c", "=".join(item))]
        self._config += ["-c", f"http.lowSpeedTime={pause:.0f}"]

    def towards(self, remote: Remote) -> GitRunner:
        """The same, allowed to talk to another remote, which is told no credentials."""
        return GitRunner(Git(), remote, self._repository, self.private, self._deadline)

    def __call__(self, *arguments: str, local: bool = False, repository: bool = True) -> str:
        """GitRunner git to its end and return what it printed; non-UTF-8 as `os.fsdecode` does.

        `local`: it reads the mirror only, so a failure that nothing else explains means that the
        mirror is damaged. Raises SyncError.
        """
        with self.process(*arguments, repository=repository) as child:
            output, complaint = child.communicate()
        if not child.returncode:
            return os.fsdecode(output)
        self._deadline.check()
        error = explain(complaint.decode("utf-8", "replace"), self._remote, self._secrets)
        if local and not isinstance(error, StorageFailed):
            raise MirrorCorrupt("the mirror is damaged")
        raise error

    @contextmanager
    def process(
        self, *arguments: str, stdin: int | None = None, repository: bool = True
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A git process in a session of its own; that whole session is killed at the deadline, and
        on leaving.

        SIGKILL, because nothing in it holds anything that matters, and it may ignore anything else.
        """
        where = (
            [f"--git-dir={self._repository}"] if repository and arguments[0] != "ls-remote" else []
        )
        # GitPython starts children with all of our environment; `env -u` takes away what is not
        # meant for git. Only names are visible in the arguments.
        strangers = [
            part for name in os.environ if name not in self._environ for part in ("-u", name)
        ]
        command = [*_leash(), "env", *strangers, "git", *self._config, *where, *arguments]
        with storage():
            started: Any = (
                _gitpython()
                .Git(self.private)
                .execute(
                    command,
                    as_process=True,
                    env=self._environ,
                    istream=stdin,
                    start_new_session=True,
                )
            )
        child: subprocess.Popen[bytes] = started.proc
        watchdog = threading.Timer(self._deadline.remaining(), _kill, (child,))
        watchdog.daemon = True
        watchdog.start()
        try:
            yield child
        finally:
            watchdog.cancel()
            _kill(child)
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    with suppress(OSError):
                        stream.close()
            child.wait()


def _kill(child: subprocess.Popen[bytes]) -> None:
    # Not once it has been waited for: its number may belong to somebody else by then.
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


@cache
def _gitpython() -> Any:
    # Imported when it is needed: it raises where git is not installed, and a standalone service
    # needs none.
    try:
        import git
    except ImportError:
        raise SyncError("git is not installed") from None
    return git


@cache
def _leash() -> tuple[str, ...]:
    """What makes git end when this process is killed, where the system has it (util-linux).

    Git's helpers end with it, as their pipes close, or when the low-speed limit tells them that
    nobody answers.
    """
    leash = ("setpriv", "--pdeathsig", "KILL")
    try:
        works = not subprocess.run(
            [*leash, "true"], capture_output=True, check=False, timeout=10
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        works = False
    return leash if works else ()
