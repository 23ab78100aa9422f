"""Git as a process: fixed arguments, an environment from scratch, killed at the deadline.

The only module that runs git, through GitPython. No code of a repository runs here: there is no
checkout, so no hook, filter, attribute or submodule takes part.
"""

from __future__ import annotations

import os
import shlex
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
from modelsync.git import auth
from modelsync.git.diagnostics import explain
from modelsync.git.url import Remote
from modelsync.leash import leash
from modelsync.resources import starting
from modelsync.settings import Git, git_environment

# Given on the command line, where they outrank the mirror's own configuration.
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
    """A GitRunner for one repository, with an environment and a private folder of its own.

    The folder is made in `home`, and removed on leaving. Raises SyncError.
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
    """Runs the git commands of one operation, which all end by its deadline."""

    def __init__(
        self, git: Git, remote: Remote, repository: Path, private: Path, deadline: Deadline
    ) -> None:
        self.private = private
        self._repository = repository
        self._remote = remote
        self._deadline = deadline
        pause = max(1.0, min(30.0, deadline.seconds / 3))
        with storage():
            self._environ = _environment(remote, private)
            login = auth.environment(git, remote, private, pause)
            self._environ |= login
        self._login = bool(login) or remote.protocol not in {"https", "http"}
        self._secrets = auth.secrets(git)
        self._config = [part for item in _CONFIG.items() for part in ("-c", "=".join(item))]
        self._config += ["-c", f"http.lowSpeedTime={pause:.0f}"]

    def towards(self, remote: Remote) -> GitRunner:
        """A runner that may talk to another remote, without credentials."""
        return GitRunner(Git(), remote, self._repository, self.private, self._deadline)

    def __call__(self, *arguments: str, local: bool = False, repository: bool = True) -> str:
        """Run git and return its standard output, decoded by `os.fsdecode`.

        `local`: git reads the mirror only, so an unexplained failure means that the mirror is
        damaged. Raises SyncError.
        """
        with self.process(*arguments, repository=repository) as child:
            output, complaint = child.communicate()
        if not child.returncode:
            return os.fsdecode(output)
        self._deadline.check()
        error = self._explained(complaint)
        if local and not isinstance(error, StorageFailed):
            raise MirrorCorrupt("the mirror is damaged")
        raise error

    def over_ssh(self, address: list[str], command: str) -> str:
        """Run a command on the host of a remote, by ssh, as git does; return what it printed.

        Raises SyncError if ssh or the command fails.
        """
        ssh = shlex.split(self._environ["GIT_SSH_COMMAND"])
        with self._process([*ssh, *address, command], None) as child:
            output, complaint = child.communicate()
        if not child.returncode:
            return os.fsdecode(output)
        self._deadline.check()
        raise self._explained(complaint)

    def _explained(self, complaint: bytes) -> SyncError:
        text = complaint.decode("utf-8", "replace")
        return explain(text, self._remote, self._secrets, login=self._login)

    @contextmanager
    def process(
        self, *arguments: str, stdin: int | None = None, repository: bool = True
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A git process in a session of its own, which is killed at the deadline and on leaving.

        Git's helpers end with git, as their pipes close, or at the low-speed limit.
        """
        where = (
            [f"--git-dir={self._repository}"] if repository and arguments[0] != "ls-remote" else []
        )
        with self._process(["git", *self._config, *where, *arguments], stdin) as child:
            yield child

    @contextmanager
    def _process(self, program: list[str], stdin: int | None) -> Iterator[subprocess.Popen[bytes]]:
        """Start a program in a session of its own, which is killed at the deadline and on leaving.

        By SIGKILL, because no process of git's holds state that matters, and it may ignore any
        other signal.
        """
        # GitPython starts children with all of our environment; `env -u` takes away what is not
        # meant for git. Only names are visible in the arguments.
        strangers = [
            part for name in os.environ if name not in self._environ for part in ("-u", name)
        ]
        command = [*leash(), "env", *strangers, *program]
        with storage(), starting("git"):
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
        try:
            with starting("a thread"):
                watchdog.start()
            yield child
        finally:
            watchdog.cancel()
            _kill(child)
            for stream in (child.stdin, child.stdout, child.stderr):
                if stream:
                    with suppress(OSError):
                        stream.close()
            child.wait()


def _environment(remote: Remote, private: Path) -> dict[str, str]:
    """The environment of a git process, without a login: no configuration but ours."""
    return git_environment() | {
        "HOME": str(private),
        "LANG": "C",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_ALLOW_PROTOCOL": remote.protocol,
        # the state directory may lie in a work tree
        "GIT_CEILING_DIRECTORIES": str(private.parent.resolve()),
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def _kill(child: subprocess.Popen[bytes]) -> None:
    # Once it has been waited for, its number may be that of another process.
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)


@cache
def _gitpython() -> Any:
    # Imported when it is needed: the import fails if git is not installed, and a standalone
    # service needs none.
    try:
        import git
    except ImportError:
        raise SyncError("git is not installed") from None
    return git
