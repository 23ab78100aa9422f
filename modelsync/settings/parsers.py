"""Parsers of settings, one for each kind of value. The message of a ValueError follows the name of
the setting.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

GitProtocol = Literal["https", "ssh", "http", "file"]


def text(raw: str) -> str:
    """Text without white space around it."""
    return raw.strip()


def path(raw: str) -> Path | None:
    """A path; `~` is the home directory."""
    return Path(raw).expanduser() if raw.strip() else None


def integer(low: int, high: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def parse(raw: str) -> int:
        value = int(raw)
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return parse


_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(raw: str) -> float:
    """Seconds from a time such as 30, 30s, 500ms, 2m or 1h."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|)\s*", raw)
    if not match or not (value := float(match[1]) * _SECONDS[match[2]]):
        raise ValueError("must be a positive time such as 30, 30s, 500ms or 2m")
    return value


_BYTES = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def size(raw: str) -> int:
    """Bytes from a size such as 10MiB or 65536."""
    match = re.fullmatch(r"\s*(\d+)\s*(KiB|MiB|GiB|)\s*", raw)
    if not match or not (value := int(match[1]) * _BYTES[match[2]]):
        raise ValueError("must be a positive size such as 10MiB or 65536")
    return value


def boolean(raw: str) -> bool:
    """True or false; also 1, yes, on, and 0, no, off."""
    match raw.strip().lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
    raise ValueError("must be true or false")


def choice(kind: Any) -> Callable[[str], str]:
    """One of the values of a Literal."""

    def parse(raw: str) -> str:
        if raw.strip() not in get_args(kind):
            raise ValueError(f"must be one of {', '.join(get_args(kind))}")
        return raw.strip()

    return parse


def protocols(raw: str) -> frozenset[str]:
    """Names of git transports, separated by commas."""
    names = frozenset(name.strip() for name in raw.split(",") if name.strip())
    if not names or names - set(get_args(GitProtocol)):
        raise ValueError(f"must be a comma-separated list of {', '.join(get_args(GitProtocol))}")
    return names


def lfs_url(raw: str) -> str:
    """An http(s) URL without credentials, query and slash at the end; may be empty."""
    url = raw.strip().rstrip("/")
    if url and not re.fullmatch(r"https?://[^\s@?#/]+(/[^\s?#]*)?", url):
        raise ValueError(
            "must be a URL such as https://lfs.example.com/team/models, without credentials"
        )
    return url


_SERVICE = re.compile(
    r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?((/[A-Za-z0-9._~%-]+)*)/?"
)


def service_url(raw: str) -> str:
    """The http(s) URL of a service, without credentials, query and slash at the end; may be
    empty.
    """
    url = raw.strip()
    if url and not _SERVICE.fullmatch(url):
        raise ValueError(
            "must be a URL such as http://modelsync-canary:8080, without credentials and query"
        )
    return url.rstrip("/")


def base_url(raw: str) -> str:
    """A URL path without slashes around it; may be empty."""
    base = raw.strip().strip("/")
    odd = base and not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", base)
    if odd or base in {"livez", "readyz", "metrics"}:
        raise ValueError("must be a URL path such as models or api/models, or empty")
    return base


def subdirectory(raw: str) -> str:
    """A folder below the repository's root, without slashes around it; may be empty."""
    folder = raw.strip().strip("/")
    if any(part in {"", ".", ".."} for part in folder.split("/")) and folder:
        raise ValueError("must be a relative folder of the repository, without ..")
    return folder


def name(raw: str) -> str:
    """The name of a Kubernetes object."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", raw.strip()):
        raise ValueError(
            "must be the name of a Kubernetes object: lower-case letters, digits, - and ."
        )
    return raw.strip()


def share(raw: str) -> float:
    """A number from 0 to 1."""
    value = float(raw)
    if not 0 <= value <= 1:
        raise ValueError("must be from 0 to 1")
    return value


def positive(raw: str) -> float:
    """A number above 0."""
    value = float(raw)
    if not 0 < value < float("inf"):
        raise ValueError("must be a number above 0")
    return value


def place(raw: str) -> str:
    """A folder, or `s3://bucket/prefix`."""
    scheme, found, rest = raw.strip().partition("://")
    if found and (scheme != "s3" or not rest.strip("/") or "@" in rest):
        raise ValueError("must be a folder, s3://bucket or s3://bucket/prefix")
    return raw.strip()


_PORTS = {"http": ":80", "https": ":443"}


def origins(raw: str) -> tuple[str, ...]:
    """Origins as browsers send them (RFC 6454 section 6.2), separated by commas; or `*` alone."""
    found = [one.strip().lower() for one in raw.split(",") if one.strip()]
    if "*" in found and len(found) > 1:
        raise ValueError("must be * alone, or origins without *")
    for index, one in enumerate(found):
        match = re.fullmatch(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d+)?", one)
        if one != "*" and not match:
            raise ValueError(f"has {one[:100]}; an origin is such as https://app.example.org")
        if match and match[3] == _PORTS[match[1]]:
            found[index] = one.removesuffix(match[3])
    return tuple(dict.fromkeys(found))


def names(raw: str) -> tuple[str, ...]:
    """Names, separated by commas."""
    return tuple(one.strip() for one in raw.split(",") if one.strip())
