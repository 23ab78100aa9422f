"""A real git server on 127.0.0.1: `git http-backend` over HTTP and HTTPS, with faults on demand. `ssh` has the other.

with GitServer(tmp_path / "repository.git") as server:
    sha = server.push({"Churn/etls.py": "..."})
    ... gitPath=server.url, MODELSYNC_GIT_PROTOCOLS=http
"""

from __future__ import annotations

import base64
import os
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

_ENVIRON = {
    "PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example.org",
    "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.org", "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A file that is not plain: an executable (100755), a link (120000), a submodule (160000; data is its commit)."""

    mode: str
    data: bytes


def executable(text: str) -> Entry:
    return Entry("100755", text.encode())


def link(target: str) -> Entry:
    return Entry("120000", target.encode())


def submodule(commit: str = "1" * 40) -> Entry:
    return Entry("160000", commit.encode())


Files = Mapping[str, str | bytes | Entry | None]
"""Path to content; None removes the file."""


class Repository:
    """A bare repository and what its users do to it; no work tree, so any name and any kind of entry can be made."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            self.git("init", "-q", "--bare", "-b", "main", str(path), repository=False)

    def git(self, *arguments: str, stdin: bytes = b"", repository: bool = True) -> str:
        """Run git in the repository and return what it printed."""
        where = [f"--git-dir={self.path}"] if repository else []
        done = subprocess.run(["git", *where, *arguments], input=stdin, env=_ENVIRON, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return os.fsdecode(done.stdout).strip()

    def push(self, files: Files, message: str = "change", branch: str = "main", onto: str | None = "") -> str:
        """Commit changes on top of the branch (or of `onto`; None: a new history) and return the commit's hash."""
        ref = f"refs/heads/{branch}"
        if onto == "":
            onto = self.git("for-each-ref", "--format=%(objectname)", ref) or None
        lines = [f"commit {ref}\ncommitter T <t@example.org> {1700000000} +0000\n".encode(), _data(message.encode())]
        if onto:
            lines.append(f"from {onto}\n".encode())
        for path, content in files.items():
            name = b'"' + os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
            entry = content if isinstance(content, Entry) else Entry("100644", _bytes(content))
            if content is None:
                lines.append(b"D " + name + b"\n")
            elif entry.mode == "160000":
                lines.append(b"M 160000 " + entry.data + b" " + name + b"\n")
            else:
                lines.append(b"M " + entry.mode.encode() + b" inline " + name + b"\n" + _data(entry.data))
        if not onto:
            lines.insert(0, f"reset {ref}\n".encode())
        self.git("fast-import", "--quiet", "--force", stdin=b"".join(lines))
        return self.git("rev-parse", ref)

    def tag(self, name: str, commit: str = "main", annotated: bool = False) -> None:
        """Make or move a tag."""
        self.git("tag", "-f", *(["-a", "-m", name] if annotated else []), name, commit)

    def commit_raw_tree(self, entries: list[tuple[str, bytes, str]], branch: str = "main") -> str:
        """Commit a tree of (mode, name, hash) that git itself would refuse to make, and return the commit's hash."""
        raw = b"".join(mode.encode() + b" " + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in entries)
        tree = self.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=raw)
        commit = self.git("commit-tree", tree, "-m", "raw")
        self.git("update-ref", f"refs/heads/{branch}", commit)
        return commit

    def blob(self, content: str) -> str:
        """Store a file's content and return its hash."""
        return self.git("hash-object", "-w", "--stdin", stdin=content.encode())


def _bytes(content: str | bytes | None) -> bytes:
    return content.encode() if isinstance(content, str) else content or b""


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)


Fault = Literal["", "hang", "trickle", "reset", "500", "503", "403", "404"]


class GitServer(Repository):
    """A repository served over HTTP, or HTTPS with `tls=True` (self-signed: `certificate` is the file to trust), on
    loopback or on another address of this machine.

    Set `user` and `password` to ask for them, `fault` to misbehave from the next request on, `dumb` to serve plain
    files. `requests` holds what was asked: method, path with query, status.
    """

    def __init__(self, path: Path, *, tls: bool = False, host: str = "127.0.0.1") -> None:
        super().__init__(path)
        self.user = ""
        self.password = ""
        self.fault: Fault = ""
        self.dumb = False
        self.redirect = ""
        self.requests: list[tuple[str, str, int]] = []
        self._tls = tls
        self._host = host
        self._closing = threading.Event()
        self.certificate = path.with_name(f"{path.name}.crt")

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}/{self.path.name}"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        owner = self

        class Handler(_Handler):
            server_of_repository = owner

        self._server = ThreadingHTTPServer((self._host, 0), Handler)
        self._server.daemon_threads = True
        if self._tls:
            key = self.path.with_name(f"{self.path.name}.key")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-keyout", str(key), "-out", str(self.certificate), "-days", "2", "-subj", f"/CN={self._host}",
                 "-addext", f"subjectAltName=IP:{self._host}"],
                check=True, capture_output=True,
            )  # fmt: skip
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # refused handshakes
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody listens meanwhile: connections are refused. Not with `tls`."""
        address, handler = self._server.server_address, self._server.RequestHandlerClass
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        try:
            yield
        finally:
            self._server = ThreadingHTTPServer(address, handler)  # type: ignore[arg-type]
            self._server.daemon_threads = True
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
            self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    server_of_repository: GitServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        self.server_of_repository.requests.append((self.command, self.path, int(code)))

    def _serve(self) -> None:
        owner = self.server_of_repository
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = self._chunks()
        match owner.fault:
            case "hang":
                owner._closing.wait()
                self.close_connection = True
                return
            case "trickle":
                self._trickle()
                return
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                self.close_connection = True
                return
        if owner.fault:
            self._answer(int(owner.fault))
        elif owner.redirect:
            self._answer(302, {"Location": owner.redirect + self.path})
        elif owner.password and not self._authorised():
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'})
        elif owner.dumb:
            file = owner.path / self.path.partition("?")[0].split("/", 2)[2]
            self._answer(200 if file.is_file() else 404, {}, file.read_bytes() if file.is_file() else b"")
        else:
            self._backend(body)

    def _authorised(self) -> bool:
        owner = self.server_of_repository
        wanted = base64.b64encode(f"{owner.user}:{owner.password}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _trickle(self) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n")
        self.wfile.write(b"Content-Type: application/x-git-upload-pack-advertisement\r\n\r\n")
        while not self.server_of_repository._closing.wait(0.2):
            gone, _, _ = select.select([self.connection], [], [], 0)
            if gone:
                return
            self.wfile.write(b"0")

    def _answer(self, status: int, headers: Mapping[str, str] = {}, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _backend(self, body: bytes) -> None:
        owner = self.server_of_repository
        path, _, query = self.path.partition("?")
        environ = {
            **_ENVIRON, "GIT_PROJECT_ROOT": str(owner.path.parent), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": self.command, "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_ADDR": "127.0.0.1", "REMOTE_USER": "tester",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, env=environ, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split()[0]) if head else 500
        self._answer(status, headers, content)
