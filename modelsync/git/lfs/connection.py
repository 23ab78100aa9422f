"""HTTP as Git LFS needs it: bounded in time, with redirects that never carry credentials elsewhere.

Nothing of a user's configuration takes part, such as `.netrc` or cookies; proxies and certificate
authorities are those of git.
"""

from __future__ import annotations

import logging
import ssl
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import unquote, urljoin, urlsplit

import certifi
import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, SSLError

from modelsync.clock import moment
from modelsync.deadline import Deadline
from modelsync.errors import ObjectUnavailable
from modelsync.settings import git_environment

logging.getLogger("urllib3").setLevel(logging.INFO)  # else links are logged, with signatures

REDIRECTS = 5
NO_TIME = "there was no time for it; the next sync goes on with what has come"


class LfsAnswer:
    """An answer whose body is not read yet. `host` is how messages name the server."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, host: str, deadline: Deadline) -> None:
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self.host = host
        self._raw = raw
        self._deadline = deadline

    def read(self, most: int) -> Iterator[bytes]:
        """The body in parts as they arrive, up to the first byte after `most`.

        Raises ObjectUnavailable if it breaks off.
        """
        left = most + 1
        with _explained(self.host):
            while left and (part := self._raw.read1(min(left, 1 << 18), decode_content=True)):
                left -= len(part)
                yield part
                if not self._deadline.remaining():
                    raise ObjectUnavailable(NO_TIME)

    @property
    def pause(self) -> float:
        """The seconds that `Retry-After` (RFC 9110 10.2.3) asks to wait; 0 without it."""
        text = self.headers.get("Retry-After", "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            return max(0.0, (parsedate_to_datetime(text) - moment()).total_seconds())
        except (ValueError, TypeError):
            return 0.0


class LfsConnection:
    """Requests of one operation, which all end by its deadline.

    `patience`: seconds that a server may be silent. `schemes`: those of the URLs that are allowed.
    """

    def __init__(self, schemes: frozenset[str], deadline: Deadline, patience: float) -> None:
        self._schemes = schemes
        self._deadline = deadline
        self._patience = patience

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        credentials: Mapping[str, str],
        body: bytes | None = None,
    ) -> Iterator[LfsAnswer]:
        """Request a URL; give the answer, whatever its status is, with its body unread.

        `credentials` are headers for the origin of `url` alone: a redirect to another host goes
        without them. Raises ObjectUnavailable if there is no answer, or none that is allowed.
        """
        for _ in range(REDIRECTS):
            self._check_scheme(url)
            with self._answer(method, url, {**headers, **credentials}, body) as answer:
                target = answer.headers.get("Location", "")
                if answer.status not in {301, 302, 303, 307, 308} or not target:
                    yield answer
                    return
            with _explained(host(url)):
                before, url = url, urljoin(url, target)
                if origin(url) != origin(before):
                    credentials = {}
        raise ObjectUnavailable(f"{host(url)} redirects without end")

    def _check_scheme(self, url: str) -> None:
        if urlsplit(url).scheme not in self._schemes:
            allowed = " and ".join(sorted(self._schemes))
            raise ObjectUnavailable(
                f"the server leads to a URL with {urlsplit(url).scheme or 'no scheme'}, "
                f"and MODELSYNC_GIT_PROTOCOLS allows {allowed}"
            )

    @contextmanager
    def _answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> Iterator[LfsAnswer]:
        """Send one request. Raises ObjectUnavailable if it has no answer."""
        if not (left := self._deadline.remaining()):
            raise ObjectUnavailable(NO_TIME)
        with _explained(host(url)):
            answer = _pool(url).request(
                method,
                url,
                body=body,
                headers=headers,
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=urllib3.Timeout(
                    connect=min(self._patience, left), read=min(self._patience, left)
                ),
            )
        try:
            yield LfsAnswer(answer, host(url), self._deadline)
        finally:
            answer.close()


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL: who gets what is sent there."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname or "",
        parts.port or {"http": 80, "https": 443}.get(parts.scheme),
    )


def host(url: str) -> str:
    """The host of a URL, with the port, as messages name it: the rest may hold a secret."""
    return urlsplit(url).netloc.rpartition("@")[2] or "the server"


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn errors of the connection into ObjectUnavailable, which names no URL."""
    try:
        yield
    except SSLError:
        raise ObjectUnavailable(f"the certificate of {name} is not trusted") from None
    except (LocationValueError, ValueError):
        raise ObjectUnavailable(f"{name} leads to what is no URL, or no header") from None
    except (HTTPError, OSError):
        raise ObjectUnavailable(
            f"{name} cannot be reached, or failed to answer", away=True
        ) from None


def _pool(url: str) -> urllib3.PoolManager:
    """Connections to a host, through the proxy of the environment if there is one for it."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme) or urllib.request.getproxies().get("all")
    environ = git_environment()
    trusted = _authorities(environ.get("GIT_SSL_CAINFO"), environ.get("GIT_SSL_CAPATH"))
    if not proxy or urllib.request.proxy_bypass(parts.netloc):
        return urllib3.PoolManager(ssl_context=trusted)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    login = urlsplit(proxy).netloc.rpartition("@")[0]
    headers = urllib3.make_headers(proxy_basic_auth=unquote(login)) if login else {}
    return urllib3.ProxyManager(proxy, proxy_headers=headers, ssl_context=trusted)


@cache
def _authorities(file: str | None, folder: str | None) -> ssl.SSLContext:
    """The certificate authorities that git trusts: those of its variables, else the machine's."""
    context = ssl.create_default_context(cafile=file, capath=folder)
    if not file and not folder:
        context.load_verify_locations(certifi.where())  # a slim image has no others
    return context
