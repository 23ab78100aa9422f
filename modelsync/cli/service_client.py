"""A running service, as commands ask it: where it is, with which token, and what its errors say."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from modelsync.cli.console import styled

if TYPE_CHECKING:
    import requests

    from modelsync.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])


def options(command: _Command) -> _Command:
    """Add the options of a command that asks a service: `url`, `token_file` and `timeout`."""
    for option in (
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=60.0,
            show_default=True,
            help="Seconds to wait.",
        ),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path),
            help="File with the bearer token; by default the first of MODELSYNC_PREDICT_TOKENS.",
        ),
        click.option(
            "--url",
            help="URL of the models (http://host:8080/models); by default the service set up here.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class ServiceClient:
    """Asks the service whose models are at `url`, without a slash at its end."""

    url: str
    token: str
    timeout: float

    @classmethod
    def of(
        cls, settings: Settings, url: str | None, token_file: Path | None, timeout: float
    ) -> ServiceClient:
        """The service that the options name, else that of the settings here."""
        from modelsync.cli.announcer import own_url

        base = url or own_url(settings.server)
        base = base if "://" in base else f"http://{base}"
        return cls(base.rstrip("/"), _token(settings, token_file), timeout)

    def ask(
        self, method: str, path: str = "", body: dict[str, Any] | None = None
    ) -> requests.Response:
        """Send a request below the URL and return its answer, whatever that is.

        Raises ClickException if no answer comes, UsageError for a malformed URL.
        """
        import requests
        from urllib3.exceptions import ProtocolError

        url = f"{self.url}{path}"
        try:
            return requests.request(
                method,
                url,
                json=body,
                headers={"Accept": "application/json"},
                auth=self._authorize,
                timeout=self.timeout,
                allow_redirects=False,
            )
        except requests.Timeout:
            raise click.ClickException(f"no answer from {url} within {self.timeout:g} s") from None
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
            if error.args and isinstance(error.args[0], ProtocolError):
                raise click.ClickException(
                    "the service closed the connection without a whole answer: "
                    "the model may have ended its worker; see the service's log"
                ) from None
            raise click.ClickException(
                f"cannot connect to {url}: is the service running? "
                "(start it with `modelsync serve`)"
            ) from None
        except requests.RequestException as error:
            raise click.UsageError(f"--url: {error}") from None

    def overview(self) -> dict[str, Any]:
        """What `GET` of the URL tells: release, models, last sync. Raises ClickException."""
        answer = self.ask("GET", "/")
        try:
            found: dict[str, Any] = answer.json()
            if answer.status_code == 200 and found["models"] is not None:
                return found
        except (ValueError, KeyError, TypeError):
            pass
        show_problem(answer)
        raise click.exceptions.Exit(1)

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        # As `auth`, because requests would otherwise send credentials of ~/.netrc instead.
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def short(name: str | None) -> str:
    """A commit or a version as people read it: twelve digits of the hash; "-" for none.

    The number of a fitted version, behind a plus sign, stays.
    """
    code, sign, number = (name or "-").partition("+")
    return f"{code[:12]}{sign}{number}"


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _token(settings: Settings, file: Path | None) -> str:
    if file is None:
        return settings.access.predict_tokens.read().split(",")[0].strip()
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(
            f"cannot read {file}: {type(error).__name__}", param_hint="--token-file"
        ) from None


def show_problem(answer: requests.Response) -> None:
    """Print a problem (RFC 9457) as text: title, detail or fields, request id and release."""
    try:
        problem = answer.json()
        title, detail = f"{problem['status']} {problem['title']}", str(problem.get("detail") or "")
    except (ValueError, KeyError, TypeError):
        click.echo(
            f"modelsync: {answer.status_code} {answer.reason}: this is not an answer of modelsync\n"
            f"{answer.text[:500]}",
            err=True,
        )
        return
    fields = [f"\n  {error['field']}: {error['message']}" for error in problem.get("errors") or []]
    texts = {"request id": problem.get("request_id"), "release": problem.get("release")}
    known = [
        f"{name} {short(text) if name == 'release' else text}"
        for name, text in texts.items()
        if text
    ]
    click.echo(
        f"modelsync: {styled(title, 'bold red')}:{''.join(fields) or f' {detail}'}", err=True
    )
    if known:
        click.echo(styled(f"  ({', '.join(known)})", "dim"), err=True)
