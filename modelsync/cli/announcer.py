"""The announcement of `modelsync serve`: the URLs of the first release, and a curl line to try."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from modelsync.errors import ModelBroken
from modelsync.models import examples

if TYPE_CHECKING:
    from modelsync.models.types import ModelEntry
    from modelsync.releases.store import Release
    from modelsync.settings import ServerSettings, Settings


class Announcer:
    """Prints the URLs of the first release that serves; later releases are only logged."""

    def __init__(self, settings: Settings) -> None:
        self._server = settings.server
        self._token = ' -H "Authorization: Bearer $TOKEN"' if settings.access.predict_tokens else ""
        self._told = False

    def __call__(self, release: Release, port: int) -> None:
        """Announce the first release that serves on `port`; later ones are only logged."""
        if not self._told:
            self._told = True
            click.echo("\n".join(("", *self._lines(release, own_url(self._server, port)), "")))

    def _lines(self, release: Release, url: str) -> Iterator[str]:
        if any(entry.version for entry in release.models.values()):
            yield f"modelsync serves {release.commit[:12]} at {url}/  (docs: {url}/docs)"
        else:
            yield f"modelsync is at {url}/ and not ready: no model of {release.commit[:12]} loads"
        width = max((len(name) for name in release.models), default=0)
        for entry in release.models.values():
            # Without the hint, which the log has told.
            fault = entry.fault and replace(entry.fault, hint=None)
            broken = f"  {entry.state}: {fault}" if fault else ""
            yield f"  POST {url}/{entry.name:<{width}}{broken}".rstrip()
        lines = (self._to_try(release, url, entry) for entry in release.models.values())
        # The input of a model without an example is known only where the model is loaded: /usage.
        yield from ("try:", f"  {next(filter(None, lines), f'curl {url}/usage{self._token}')}")

    def _to_try(self, release: Release, url: str, entry: ModelEntry) -> str:
        """A curl line with the model's first example; empty without one, or if it is broken."""
        if not entry.version:
            return ""
        try:
            example = next(iter(examples.read(release.path / entry.folder)), None)
        except ModelBroken:
            return ""
        if example is None:
            return ""
        body = shlex.quote(json.dumps({"variables": example.variables}))
        return f"curl {url}/{entry.name} -H 'Content-Type: application/json'{self._token} -d {body}"


def own_url(server: ServerSettings, port: int | None = None) -> str:
    """The URL of the models of a service on this machine, without a slash at its end."""
    host = "127.0.0.1" if server.host in {"0.0.0.0", "::"} else server.host  # noqa: S104 - read, not bound
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port or server.port}/{server.base_url}".rstrip("/")
