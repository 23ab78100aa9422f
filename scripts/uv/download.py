"""Downloads uv from the package index that pip is configured for.

It unpacks only a wheel whose SHA-256 is in `pinned.txt`.
"""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import ssl
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPPasswordMgrWithPriorAuth,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    build_opener,
)

from modelsync.environments.pip_configuration import find_links, is_set, option

DEFAULT_INDEX = "https://pypi.org/simple"
PINNED = Path(__file__).with_name("pinned.txt")
TIMEOUT = 60.0  # seconds without a byte


class NoUv(Exception):
    """Why there is no uv to run, for the person who runs this."""


@dataclass(frozen=True)
class Pin:
    """The release of uv that is taken: its version, and the digests (hexadecimal) of its wheels."""

    version: str
    sha256: frozenset[str]

    @classmethod
    def read(cls, file: Path = PINNED) -> Pin:
        """Read a requirement with hashes, as `make lock` writes it."""
        text = file.read_text("utf-8")
        version = re.search(r"^uv==(\S+)", text, re.MULTILINE)
        assert version, file
        return cls(version[1], frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", text)))


def download(environ: Mapping[str, str], pin: Pin | None = None) -> Path:
    """Give the pinned uv in the user's cache; download it if it is not there.

    Raises NoUv or OSError if that is not possible.
    """
    pin = pin or Pin.read()
    program = _cache(environ) / f"uv-{pin.version}-{platform.machine()}" / "uv"
    if not program.exists() or not program.stat().st_size:  # empty after a power cut
        content = _fetch(environ, pin)
        program.parent.mkdir(parents=True, exist_ok=True)
        part = program.with_name(f"uv.{os.getpid()}")  # others may be fetching it too
        with part.open("wb") as file:
            file.write(_unpacked(content))
            file.flush()
            os.fsync(file.fileno())  # or a power cut may leave the name without the content
        part.chmod(0o755)
        part.replace(program)
    return program


def _cache(environ: Mapping[str, str]) -> Path:
    return Path(
        environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home(), ".cache"),
        "modelsync",
    )


def _unpacked(wheel: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        return archive.read(name)


def _fetch(environ: Mapping[str, str], pin: Pin) -> bytes:
    """Read the first wheel that this machine can run, and verify its digest."""
    failed: OSError | HTTPException | None = None
    for place in _places(environ):
        url, opener = opener_for(place, environ)
        try:
            wheels = _wheels(url, opener, pin.version)
        except (OSError, HTTPException) as error:
            # An extra index without uv, for instance: the next place may have it.
            failed = error
            continue
        for wheel in wheels:
            with opener.open(wheel, timeout=TIMEOUT) as answer:
                content: bytes = answer.read()
            if hashlib.sha256(content).hexdigest() not in pin.sha256:
                raise NoUv(f"{_name(wheel)} is not what was pinned: its SHA-256 differs")
            return content
    raise failed or NoUv(
        f"the index has no wheel of uv {pin.version} for this machine ({platform.platform()})"
    )


def _places(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the pages and folders (`file:`) that may list uv's wheels."""
    for place in find_links(environ):
        yield place if urlsplit(place).scheme else Path(place).resolve().as_uri()
    if is_set("no-index", environ):
        return
    index = (
        environ.get("UV_DEFAULT_INDEX")
        or environ.get("UV_INDEX_URL")
        or option("index-url", environ)
    )
    for url in (index or DEFAULT_INDEX, *(option("extra-index-url", environ) or "").split()):
        yield f"{url.rstrip('/')}/uv/"


def opener_for(url: str, environ: Mapping[str, str]) -> tuple[str, OpenerDirector]:
    """Split user and password off a URL; the opener sends them to that host alone."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    bare = urlunsplit(parts._replace(netloc=host))
    passwords = HTTPPasswordMgrWithPriorAuth()
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        passwords.add_password(
            None, f"{parts.scheme}://{host}/", user, password, is_authenticated=True
        )
    secure = ssl.create_default_context(cafile=option("cert", environ))
    if {host, parts.hostname} & set((option("trusted-host", environ) or "").split()):
        secure.check_hostname, secure.verify_mode = (
            False,
            ssl.CERT_NONE,
        )  # what is unpacked has a pinned digest
    proxy = option("proxy", environ)
    proxies = ProxyHandler({"http": proxy, "https": proxy} if proxy else None)
    return bare, build_opener(
        HTTPSHandler(context=secure), HTTPBasicAuthHandler(passwords), proxies
    )


class _Links(HTMLParser):
    """The addresses on an index page (PEP 503)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _wheels(url: str, opener: OpenerDirector, version: str) -> list[str]:
    """List the addresses of this release's wheels for this machine, on a page or in a folder."""
    if url.startswith("file:"):
        found = [file.as_uri() for file in Path(unquote(urlsplit(url).path)).glob("uv-*.whl")]
    else:
        with opener.open(url, timeout=TIMEOUT) as answer:
            links = _Links()
            links.feed(answer.read().decode("utf-8", "replace"))
            found = [urldefrag(urljoin(answer.geturl(), link)).url for link in links.found]
    return [
        wheel
        for wheel in found
        if _name(wheel).startswith(f"uv-{version}-py3-none-") and fits(_name(wheel))
    ]


def _name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def fits(wheel: str, machine: str | None = None, libc: tuple[str, str] | None = None) -> bool:
    """Tell whether this machine runs a wheel, by its platform tags (PEP 425, 600, 656)."""
    machine, libc = machine or platform.machine(), libc or platform.libc_ver()
    tags = re.findall(
        r"(manylinux|musllinux|macosx)_(\d+)_(\d+)_(\w+)",
        wheel.removesuffix(".whl").replace(".", " "),
    )
    for system, major, minor, architecture in tags:
        if architecture != machine:
            continue
        needs = (int(major), int(minor))
        if platform.system() == "Darwin":
            if system == "macosx" and needs <= _version(platform.mac_ver()[0]):
                return True
        elif libc[0] == "glibc":
            if system == "manylinux" and needs <= _version(libc[1]):
                return True
        elif system == "musllinux":
            return True
    return False


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:2]))
