"""Installs pip into the environment that runs this: `.venv/bin/python scripts/bootstrap_pip.py`.

For a Python that comes without pip and without ensurepip, as Debian's does. Only the standard
library is used. The package index is the one that pip would take (its environment variables and
configuration files); the wheel is run only if its SHA-256 is the one that the index names.
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit, urlunsplit
from urllib.request import (
    HTTPBasicAuthHandler,
    HTTPPasswordMgrWithPriorAuth,
    HTTPSHandler,
    OpenerDirector,
    build_opener,
)

DEFAULT_INDEX = "https://pypi.org/simple"
WHEEL = re.compile(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl")  # final releases only
TIMEOUT = 60.0


class NoPip(Exception):
    """Why there is no pip to install, for the person who runs this."""


@dataclass(frozen=True)
class Wheel:
    """A file of the index: where it is, its version, and the digest (hexadecimal) that it must
    have.
    """

    url: str
    name: str
    version: tuple[int, ...]
    sha256: str


def option(name: str, environ: Mapping[str, str]) -> str | None:
    """Return an option of pip, such as `index-url`; the environment wins over files."""
    if value := environ.get(f"PIP_{name.upper().replace('-', '_')}"):
        return value
    found = None
    for file in config_files(environ):
        config = configparser.RawConfigParser()
        config.read(file, encoding="utf-8")
        for section in ("global", "install"):
            found = config.get(section, name, fallback=found)
    return found


def config_files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files that pip reads on Unix, the strongest last."""
    override = environ.get("PIP_CONFIG_FILE")
    if override == os.devnull:
        return
    home = Path(environ.get("HOME") or Path.home())
    yield from (
        Path(folder, "pip", "pip.conf")
        for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")
    )
    yield Path("/etc/pip.conf")
    if not override or not Path(override).exists():
        yield home / ".pip" / "pip.conf"
        yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config", "pip", "pip.conf")
    yield Path(sys.prefix, "pip.conf")
    if override:
        yield Path(override)


def reader(index: str, ca_file: str | None) -> tuple[str, OpenerDirector]:
    """Split user and password off the index's URL; give it without them, and what sends them to
    that host alone.
    """
    parts = urlsplit(index)
    host = parts.netloc.rpartition("@")[2]
    bare = urlunsplit(parts._replace(netloc=host))
    passwords = HTTPPasswordMgrWithPriorAuth()
    if parts.username is not None:
        user, password = unquote(parts.username), unquote(parts.password or "")
        passwords.add_password(
            None, f"{parts.scheme}://{host}/", user, password, is_authenticated=True
        )
    secure = HTTPSHandler(context=ssl.create_default_context(cafile=ca_file))
    return bare, build_opener(secure, HTTPBasicAuthHandler(passwords))


class _Links(HTMLParser):
    """The links of an index page (PEP 503)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found.append({name: value or "" for name, value in attrs})


def wheels(page: str, url: str, python: tuple[int, int] = sys.version_info[:2]) -> list[Wheel]:
    """List the final, not yanked wheels of pip on an index page that this Python can run, the
    newest last.
    """
    links = _Links()
    links.feed(page)
    found = []
    for link in links.found:
        address, fragment = urldefrag(urljoin(url, link.get("href", "")))
        name = unquote(urlsplit(address).path.rpartition("/")[2])
        needs = re.search(r">=\s*(\d+)\.(\d+)", link.get("data-requires-python", ""))
        digest = re.search(r"sha256=([0-9a-f]{64})", fragment)
        if (
            (match := WHEEL.fullmatch(name))
            and digest
            and "data-yanked" not in link
            and not (needs and tuple(map(int, needs.groups())) > python)
        ):
            found.append(Wheel(address, name, tuple(map(int, match[1].split("."))), digest[1]))
    return sorted(found, key=lambda wheel: wheel.version)


def download(folder: Path, environ: Mapping[str, str]) -> Path:
    """Put the newest wheel of pip into a folder; raises NoPip or OSError where that is not
    possible.
    """
    index, opener = reader(option("index-url", environ) or DEFAULT_INDEX, option("cert", environ))
    page = f"{index.rstrip('/')}/pip/"
    with opener.open(page, timeout=TIMEOUT) as answer:
        found = wheels(answer.read().decode("utf-8", "replace"), answer.geturl())
    if not found:
        raise NoPip(f"{page} lists no wheel of pip with a SHA-256 for this Python")
    wheel = found[-1]
    with opener.open(wheel.url, timeout=TIMEOUT) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != wheel.sha256:
        raise NoPip(f"{wheel.name} is not what the index says: its SHA-256 differs")
    file = folder / wheel.name
    file.write_bytes(content)
    return file


def main() -> int:
    """Download pip and let it install itself."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            wheel = download(Path(folder), os.environ)
        except (NoPip, OSError, configparser.Error) as error:
            print(f"modelsync: cannot get pip: {error}", file=sys.stderr)
            return 1
        install = [
            "install",
            "--quiet",
            "--no-index",
            "--no-deps",
            "--disable-pip-version-check",
            str(wheel),
        ]
        return subprocess.call([sys.executable, f"{wheel}/pip", *install])


if __name__ == "__main__":
    sys.exit(main())
