"""A real git server on 127.0.0.1: sshd, with keys of its own."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.git import Repository
from tests.waiting import until

SSHD = Path("/usr/sbin/sshd")


class SshGitServer(Repository):
    """A repository served by a real sshd as the user who runs the tests.

    `key` is the private key that it accepts, `known_hosts` the file that knows its host key.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._folder = path.parent / "sshd"  # sshd's configuration takes no blanks in paths
        self.key = self._folder / "key"
        self.known_hosts = self._folder / "known_hosts"

    @staticmethod
    def available() -> bool:
        """Whether this machine has an sshd to start, and a shell for this user behind it."""
        try:
            shell = Path(pwd.getpwuid(os.geteuid()).pw_shell).name
        except KeyError:
            return False
        return SSHD.exists() and shutil.which("ssh-keygen") is not None and shell not in {"nologin", "false"}

    @property
    def url(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}{self.path}"

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for name in ("key", "other_key", "host_key", "other_host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / name)], check=True)
        shutil.copy(self._folder / "key.pub", self._folder / "authorized_keys")
        for _ in range(5):  # sshd takes no port 0, and the free one may be gone until it has started
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = int(free.getsockname()[1])
            if self._start():
                break
        else:
            raise AssertionError(self.log.read_text())
        self.trust("host_key")
        return self

    def trust(self, name: str) -> None:
        """Write a known_hosts file that holds this key for the server."""
        kind, key, *_ = (self._folder / f"{name}.pub").read_text().split()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")

    def _start(self) -> bool:
        config = self._folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self._folder}/host_key\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {self._folder}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\nLogLevel VERBOSE\n"
        )
        self.log = self._folder / "log"
        self._process = subprocess.Popen([SSHD, "-D", "-f", config, "-E", self.log], stdin=subprocess.DEVNULL)

        def answers() -> bool:
            if self._process.poll() is not None:
                return True
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                return connection.recv(4) == b"SSH-"

        until(answers, 10, "sshd answers")
        return self._process.poll() is None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
