"""Reads pip's configuration and translates it for uv."""

from __future__ import annotations

import configparser
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

# The commands of uv that ask an index.
ASK_AN_INDEX = (("pip", "install"), ("pip", "compile"), ("build",))


class PipConfigError(Exception):
    """The configuration of pip cannot be read. The message quotes nothing of it."""


def option(name: str, environ: Mapping[str, str]) -> str | None:
    """Give an option of pip, such as `index-url`; the environment wins over files."""
    if value := environ.get(f"PIP_{name.upper().replace('-', '_')}"):
        return value
    found = None
    for file in config_files(environ):
        config = configparser.RawConfigParser()
        try:
            config.read(file, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise PipConfigError(f"{file} cannot be read: {type(error).__name__}") from None
        for section in ("global", "install"):
            found = config.get(section, name, fallback=found)
    return found


def is_set(name: str, environ: Mapping[str, str]) -> bool:
    """Tell whether a switch of pip is on, such as `no-index`."""
    return (option(name, environ) or "").strip().lower() in {"1", "true", "t", "yes", "y", "on"}


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


def find_links(environ: Mapping[str, str]) -> list[str]:
    """List pip's folders and pages of files; like pip, without the folders that are not there."""
    places = (option("find-links", environ) or "").split()
    return [place for place in places if urlsplit(place).scheme or Path(place).is_dir()]


def for_uv(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the environment for uv: pip's configuration, unless uv has its own.

    uv takes a package from the first index that knows it; pip takes the best of all indexes. uv
    trusts certificate authorities of its own; pip trusts the system's.
    """
    said = {
        "UV_DEFAULT_INDEX": option("index-url", environ) if "UV_INDEX_URL" not in environ else None,
        "UV_INDEX": option("extra-index-url", environ)
        if "UV_EXTRA_INDEX_URL" not in environ
        else None,
        "UV_FIND_LINKS": ",".join(find_links(environ)),
        "UV_INSECURE_HOST": option("trusted-host", environ),
        "UV_HTTP_TIMEOUT": _whole_seconds(
            option("timeout", environ) or option("default-timeout", environ)
        ),
        "SSL_CERT_FILE": option("cert", environ),
        "ALL_PROXY": option("proxy", environ),
        "UV_INDEX_STRATEGY": "unsafe-best-match" if option("extra-index-url", environ) else None,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    if not (
        said["SSL_CERT_FILE"] or {"SSL_CERT_FILE", "SSL_CERT_DIR", "UV_NATIVE_TLS"} & set(environ)
    ):
        said["UV_SYSTEM_CERTS"] = "true"
    if not _has_cache(environ):
        said["UV_NO_CACHE"] = "true"
    return {name: " ".join(value.split()) for name, value in said.items() if value} | dict(environ)


def arguments_for_uv(arguments: list[str], environ: Mapping[str, str]) -> list[str]:
    """Add pip's `no-index`, for which uv has no variable, unless uv is told an index itself."""
    if is_set("no-index", environ) and not {"UV_DEFAULT_INDEX", "UV_INDEX_URL"} & set(environ):
        for command in ASK_AN_INDEX:
            if tuple(arguments[: len(command)]) == command:
                return [*command, "--no-index", *arguments[len(command) :]]
    return arguments


def _whole_seconds(timeout: str | None) -> str | None:
    """Round a time-out up: pip takes fractions of a second, uv does not."""
    try:
        return str(math.ceil(float(timeout))) if timeout else None
    except (ValueError, OverflowError):
        raise PipConfigError("the time-out in pip's configuration is not a number") from None


def _has_cache(environ: Mapping[str, str]) -> bool:
    """Tell whether uv can write its cache: uv fails where it cannot, pip goes on without one."""
    home = Path(environ.get("HOME") or Path.home())
    folder = Path(environ.get("XDG_CACHE_HOME") or home / ".cache", "uv")
    if "UV_CACHE_DIR" in environ:
        return True
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
