"""scripts/uv: downloads a pinned uv from pip's index, and gives it pip's configuration."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from modelsync.environments.pip_configuration import arguments_for_uv, for_uv, option
from scripts.uv.download import Pin, fits

ROOT = Path(__file__).parents[1]
CONFIGURATION = "modelsync/environments/pip_configuration.py"
SYSTEM = "macosx_10_9" if platform.system() == "Darwin" else "manylinux_2_5"
NAME = f"uv-7.0.0-py3-none-{SYSTEM}_{platform.machine()}.whl"


@dataclass
class Index:
    """A package index on this machine: what it answers by path, and what it was asked."""

    url: str
    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def index() -> Iterator[Index]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append((self.path, self.headers["Authorization"]))
            page = served.pages.get(self.path)
            self.send_response(200 if page is not None else 404)
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Index(f"http://127.0.0.1:{server.server_port}/simple")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def wheel() -> bytes:
    """A wheel whose uv prints its arguments and where it was told to look."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(
            "uv-7.0.0.data/scripts/uv", '#!/bin/sh\necho "uv $* from $UV_DEFAULT_INDEX"\n'
        )
    return content.getvalue()


@pytest.fixture
def checkout(tmp_path: Path, wheel: bytes) -> Path:
    """A folder with scripts/uv, which pins that wheel."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts" / "uv", folder / "scripts" / "uv")
    (folder / "scripts" / "__init__.py").touch()
    environments = folder / "modelsync" / "environments"
    environments.mkdir(parents=True)
    for file in ("modelsync/__init__.py", "modelsync/environments/__init__.py", CONFIGURATION):
        shutil.copy(ROOT / file, folder / file)
    hashes = (f"--hash=sha256:{sha}" for sha in ("ab" * 32, hashlib.sha256(wheel).hexdigest()))
    pin = " \\\n    ".join(["uv==7.0.0", *hashes])
    (folder / "scripts" / "uv" / "pinned.txt").write_text(pin)
    return folder


def offer(index: Index, wheel: bytes, *names: str) -> None:
    links = "".join(
        f'<a href="../../files/{name}#sha256={"cd" * 32}">{name}</a>' for name in names or (NAME,)
    )
    index.pages |= {"/simple/uv/": links.encode(), f"/files/{NAME}": wheel}


def uv(
    checkout: Path, *arguments: str, index: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run it with the standard library only, where no uv is on PATH and no cache is warm."""
    clean = {
        "PATH": "/nowhere",
        "HOME": str(checkout),
        "PIP_CONFIG_FILE": os.devnull,
        "no_proxy": "127.0.0.1",
    }
    return subprocess.run(
        [sys.executable, "-S", "-m", "scripts.uv", *arguments],
        cwd=checkout, env={**clean, "PIP_INDEX_URL": index, **environ},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_uv_comes_from_the_index_once(index: Index, wheel: bytes, checkout: Path) -> None:
    """The wheel of this machine goes into the cache; user and password to the index alone."""
    offer(
        index,
        wheel,
        "uv-6.9.9-py3-none-any.whl",
        NAME.replace(platform.machine(), "pdp11"),
        NAME,
        "uv-7.0.0.tar.gz",
    )
    url = index.url.replace("//", "//me:p%40ss@")
    for arguments in ("one", "two"):
        done = uv(checkout, arguments, index=url)
        assert (done.returncode, done.stdout, done.stderr) == (
            0,
            f"uv {arguments} from {url}\n",
            "",
        )
    sent = "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert index.asked == [("/simple/uv/", sent), (f"/files/{NAME}", sent)]


def test_an_altered_wheel_is_not_run(index: Index, wheel: bytes, checkout: Path) -> None:
    """Its SHA-256 must be one that is pinned, whatever the index says."""
    offer(index, wheel + b"\0")
    done = uv(checkout, index=index.url)
    assert (done.returncode, done.stdout) == (69, "")
    assert (
        done.stderr
        == f"modelsync: cannot get uv: {NAME} is not what was pinned: its SHA-256 differs\n"
    )
    assert not list(checkout.rglob(".cache/**/uv"))


def test_an_index_without_uv_is_told_without_its_password(index: Index, checkout: Path) -> None:
    """One line, no traceback, no secret; the exit code says that pip has to do it."""
    url = index.url.replace("//", "//me:secret@")
    done = uv(checkout, index=url)
    assert (done.returncode, done.stderr) == (
        69,
        "modelsync: cannot get uv: HTTP Error 404: Not Found\n",
    )
    index.pages["/simple/uv/"] = b"<html>"
    done = uv(checkout, index=url)
    assert done.returncode == 69
    assert "the index has no wheel of uv 7.0.0 for this machine" in done.stderr
    assert "secret" not in done.stderr


def test_what_cannot_be_read_is_told_without_its_password(index: Index, checkout: Path) -> None:
    """A malformed address or file of pip, which may quote a password, is named and not quoted."""
    for url in ("http://me:sec/ret@host/simple", "http://[me:sec"):
        done = uv(checkout, index=url)
        assert (done.returncode, done.stderr.count("\n")) == (69, 1), done.stderr
        assert "sec" not in done.stderr
    file = checkout / "pip.conf"
    for text in ("cert = http://me:secret@host\n", "[global]\ncert me secret\n"):
        file.write_text(text)
        done = uv(checkout, PIP_CONFIG_FILE=str(file), PIP_NO_INDEX="1")
        assert (done.returncode, done.stderr.count("\n")) == (69, 1), done.stderr
        assert f"{file} cannot be read" in done.stderr
        assert "secret" not in done.stderr


def test_a_uv_that_cannot_be_run_is_replaced(index: Index, wheel: bytes, checkout: Path) -> None:
    """An empty file, as a power cut leaves it, is downloaded again; one without rights is told."""
    offer(index, wheel)
    assert uv(checkout, "one", index=index.url).returncode == 0
    [program] = checkout.glob(".cache/modelsync/*/uv")
    program.write_bytes(b"")
    done = uv(checkout, "two", index=index.url)
    assert done.stdout == f"uv two from {index.url}\n", done.stderr
    program.chmod(0o644)
    done = uv(checkout, "three", index=index.url)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1), done.stderr


def test_an_extra_index_and_folders_may_have_it(index: Index, wheel: bytes, checkout: Path) -> None:
    """find-links and extra indexes count; a folder comes first and asks nobody."""
    offer(index, wheel)
    done = uv(checkout, "x", index=f"{index.url}/missing", PIP_EXTRA_INDEX_URL=index.url)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(checkout / ".cache")
    index.asked.clear()
    folder = checkout / "wheels here"
    folder.mkdir()
    (folder / NAME).write_bytes(wheel)
    done = uv(checkout, "x", PIP_FIND_LINKS=folder.as_uri(), PIP_NO_INDEX="1")
    assert (done.returncode, index.asked) == (0, []), done.stderr


@pytest.mark.parametrize(
    ("version", "taken"), [("0.13.9", True), ("0.10.12", False), ("nonsense", False)]
)
def test_a_uv_that_is_here_is_taken(checkout: Path, version: str, taken: bool) -> None:
    """One on PATH is run if it is not too old; else the pinned one is looked for."""
    program = checkout / "bin" / "uv"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "uv {version} ($*)"\n')
    program.chmod(0o755)
    done = uv(checkout, "pip", "list", PATH=str(program.parent), PIP_NO_INDEX="1")
    assert (done.returncode, done.stdout) == (
        (0, f"uv {version} (pip list)\n") if taken else (69, "")
    )


def test_wheels_are_told_by_their_platform() -> None:
    """glibc and musl are told apart, and a glibc that is too old."""
    both = "uv-1-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl"
    new = "uv-1-py3-none-manylinux_2_28_aarch64.whl"
    if platform.system() != "Linux":
        pytest.skip("for Linux")
    glibc, old, musl = ("glibc", "2.36"), ("glibc", "2.17"), ("", "")
    assert [fits(both, "aarch64", libc) for libc in (glibc, old, musl)] == [True, True, True]
    assert [fits(new, "aarch64", libc) for libc in (glibc, old, musl)] == [True, False, False]
    assert not fits(both, "x86_64", glibc)
    assert not fits("uv-1-py3-none-macosx_11_0_arm64.whl", "arm64", glibc)


def test_the_pin_is_read() -> None:
    """pinned.txt names one version, and a digest for each of its files."""
    pin = Pin.read()
    assert pin.version.count(".") == 2
    assert len(pin.sha256) > 10


def test_the_index_is_the_one_that_pip_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place of pip's configuration counts; the environment wins over all."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))
    environ = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg")}
    places = [
        tmp_path / "xdg" / "pip" / "pip.conf",
        tmp_path / ".pip" / "pip.conf",
        tmp_path / ".config" / "pip" / "pip.conf",
        tmp_path / "venv" / "pip.conf",
    ]
    for number, place in enumerate(places):
        place.parent.mkdir(parents=True)
        place.write_text(f"[global]\n{'index-url'} = https://{number}/simple\n")
        assert option("index-url", environ) == f"https://{number}/simple"
    other = tmp_path / "other.conf"
    other.write_text(f"[global]\ncert = /ca\n[install]\n{'index-url'} = https://install/simple\n")
    environ["PIP_CONFIG_FILE"] = str(other)
    assert option("index-url", environ) == "https://install/simple"
    assert option("cert", environ) == "/ca"
    environ["PIP_INDEX_URL"] = "https://environment/simple"
    assert option("index-url", environ) == "https://environment/simple"
    assert (
        option("index-url", {**environ, "PIP_INDEX_URL": "", "PIP_CONFIG_FILE": os.devnull}) is None
    )


def test_uv_is_told_what_pip_is_told(tmp_path: Path) -> None:
    """Index, folders, certificates, proxy and time-out; what uv is told itself stays."""
    pip = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "https://one/simple",
        "PIP_EXTRA_INDEX_URL": "https://two/simple\nhttps://three/simple",
        "PIP_FIND_LINKS": f"{tmp_path} /nowhere/at/all https://four/",
        "PIP_CERT": "/ca.pem",
        "PIP_TRUSTED_HOST": "one",
        "PIP_PROXY": "http://proxy:1",
        "PIP_DEFAULT_TIMEOUT": "180",
    }
    said = {name: value for name, value in for_uv(pip).items() if name not in pip}
    assert said == {
        "UV_DEFAULT_INDEX": "https://one/simple",
        "UV_INDEX": "https://two/simple https://three/simple",
        "UV_FIND_LINKS": f"{tmp_path},https://four/",
        "SSL_CERT_FILE": "/ca.pem",
        "UV_INSECURE_HOST": "one",
        "ALL_PROXY": "http://proxy:1",
        "UV_HTTP_TIMEOUT": "180",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    assert (
        for_uv({**pip, "UV_DEFAULT_INDEX": "https://mine/simple"})["UV_DEFAULT_INDEX"]
        == "https://mine/simple"
    )
    assert for_uv({"PIP_CONFIG_FILE": os.devnull})["UV_SYSTEM_CERTS"] == "true"


def test_uv_goes_without_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """As pip does, in a home that is read-only; a folder that uv is told itself stays."""
    pip = {"PIP_CONFIG_FILE": os.devnull}
    assert "UV_NO_CACHE" not in for_uv({**pip, "HOME": str(tmp_path)})
    assert for_uv({**pip, "HOME": os.devnull})["UV_NO_CACHE"] == "true"
    assert "UV_NO_CACHE" not in for_uv({**pip, "HOME": os.devnull, "UV_CACHE_DIR": "/x"})


def test_switches_and_fractions_of_pip() -> None:
    """no-index is an argument, as uv has no variable for it; a switch may be off."""
    pip = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    install = ["pip", "install", "--quiet", "x"]
    assert arguments_for_uv(install, pip) == ["pip", "install", "--no-index", "--quiet", "x"]
    assert arguments_for_uv(["build", "."], pip) == ["build", "--no-index", "."]
    assert arguments_for_uv(["--version"], pip) == ["--version"]
    for other in ({"PIP_NO_INDEX": "0"}, {"UV_DEFAULT_INDEX": "https://mine/simple"}):
        assert arguments_for_uv(install, {**pip, **other}) == install
    assert for_uv({**pip, "PIP_DEFAULT_TIMEOUT": "2.5"})["UV_HTTP_TIMEOUT"] == "3"
