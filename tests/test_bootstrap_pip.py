"""scripts/bootstrap_pip.py: pip from a package index, for a Python that has neither pip nor
ensurepip.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path

import pytest

from scripts.bootstrap_pip import option, wheels
from tests.waiting import patient

ROOT = Path(__file__).parents[1]
SHA = "ab" * 32


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


@pytest.fixture(scope="module")
def pip_wheel() -> tuple[str, bytes]:
    """The pip that this environment has, as the wheel that it was installed from: its file name and
    content.
    """
    pip = distribution("pip")
    assert pip.files
    own = [
        file
        for file in pip.files
        if re.match(r"pip(-[^/]+\.dist-info)?/", str(file)) and file.suffix != ".pyc"
    ]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in own:
            if file.name not in {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}:
                archive.write(str(file.locate()), str(file))
        archive.writestr(
            f"pip-{pip.version}.dist-info/RECORD",
            "".join(f"{name},,\n" for name in archive.namelist()),
        )
    return f"pip-{pip.version}-py3-none-any.whl", content.getvalue()


def offer(index: Index, wheel: tuple[str, bytes], sha256: str | None = None) -> None:
    name, content = wheel
    digest = sha256 or hashlib.sha256(content).hexdigest()
    link = f'<a href="../../files/{name}#sha256={digest}">{name}</a>'
    index.pages |= {"/simple/pip/": link.encode(), f"/files/{name}": content}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The interpreter of a virtual environment without pip."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True
    )
    return tmp_path / "venv" / "bin" / "python"


def bootstrap(python: Path, index_url: str) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON"))
    }
    return subprocess.run(
        [str(python), str(ROOT / "scripts" / "bootstrap_pip.py")],
        env={**clean, "no_proxy": "127.0.0.1", "PIP_INDEX_URL": index_url}, capture_output=True,
        text=True, timeout=patient(100),
    )  # fmt: skip


def has_pip(python: Path) -> bool:
    return (
        subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True).returncode == 0
    )


def test_pip_comes_from_the_index(index: Index, pip_wheel: tuple[str, bytes], bare: Path) -> None:
    """An environment without pip has one afterwards; user and password go to the index, and to it
    alone.
    """
    offer(index, pip_wheel)
    assert not has_pip(bare)
    done = bootstrap(bare, index.url.replace("//", "//me:p%40ss@"))
    assert (done.returncode, done.stderr) == (0, "")
    assert has_pip(bare)
    sent = "Basic " + base64.b64encode(b"me:p@ss").decode()
    assert index.asked == [("/simple/pip/", sent), (f"/files/{pip_wheel[0]}", sent)]


def test_a_wheel_that_was_altered_is_not_run(
    index: Index, pip_wheel: tuple[str, bytes], bare: Path
) -> None:
    """Its SHA-256 must be the one that the index names."""
    offer(index, pip_wheel, sha256=SHA)
    done = bootstrap(bare, index.url)
    assert done.returncode == 1
    assert "its SHA-256 differs" in done.stderr
    assert not has_pip(bare)


def test_an_index_that_fails_is_told_without_its_password(index: Index, bare: Path) -> None:
    """One line, no traceback, no secret."""
    done = bootstrap(bare, index.url.replace("//", "//me:secret@"))
    assert done.returncode == 1
    assert done.stderr == "modelsync: cannot get pip: HTTP Error 404: Not Found\n"
    index.pages["/simple/pip/"] = b"<html>"
    done = bootstrap(bare, index.url.replace("//", "//me:secret@"))
    assert "lists no wheel of pip" in done.stderr
    assert "secret" not in done.stderr


def test_the_newest_wheel_that_fits_is_taken() -> None:
    """No pre-release, nothing withdrawn, nothing for a newer Python, nothing without a digest."""
    page = "".join(
        f'<a href="{name}{fragment}" {attributes}>x</a>'
        for name, fragment, attributes in [
            ("pip-9.0-py3-none-any.whl", f"#sha256={SHA}", ""),
            ("pip-26.3-py3-none-any.whl", f"#sha256={SHA}", 'data-requires-python="&gt;=3.9"'),
            (
                "pip-26.10-py3-none-any.whl",
                f"#sha256={SHA}",
                'data-requires-python="&gt;=3.11,!=3.12.1"',
            ),
            ("pip-27.0b1-py3-none-any.whl", f"#sha256={SHA}", ""),
            ("pip-27.0-py3-none-any.whl", f"#sha256={SHA}", 'data-requires-python="&gt;=3.12"'),
            ("pip-27.1-py3-none-any.whl", f"#sha256={SHA}", 'data-yanked="broken"'),
            ("pip-27.2-py3-none-any.whl", "#md5=12", ""),
            ("pip-27.3.tar.gz", f"#sha256={SHA}", ""),
        ]
    )
    found = wheels(page, "https://host/simple/pip/", python=(3, 11))
    assert [wheel.version for wheel in found] == [(9, 0), (26, 3), (26, 10)]
    assert found[-1].url == "https://host/simple/pip/pip-26.10-py3-none-any.whl"


def test_the_index_is_the_one_that_pip_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each place of pip's configuration counts, the stronger over the weaker, the environment over
    all.
    """
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
