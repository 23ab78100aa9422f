"""`modelsync call`: one prediction by a running service, from a shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import click

from modelsync.cli.command import load_settings
from modelsync.cli.console import styled

if TYPE_CHECKING:
    import requests

    from modelsync.settings import Settings


@click.command(short_help="Send one prediction to a running service.")
@click.argument("model")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--url", help="URL of the models (http://host:8080/models); by default the service set up here."
)
@click.option(
    "--variables",
    "given",
    metavar="JSON|@FILE",
    help="The variables as a JSON object; @- reads standard input.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the bearer token; by default the first of MODELSYNC_PREDICT_TOKENS.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds to wait.",
)
def call(
    model: str,
    values: tuple[str, ...],
    url: str | None,
    given: str | None,
    token_file: Path | None,
    timeout: float,
) -> int:
    """Send one prediction to MODEL and print its answer.

    \b
      modelsync call Exchange amount=100 source=USD
      modelsync call Exchange --variables '{"amount": 100, "source": "USD"}'

    A VALUE that is valid JSON (5.1, true, [1,2]) is sent as such, any other as text; nested.key=2
    sets a key of an object. The exit code is 1 if the answer is an error.
    """  # noqa: D301 - for click it is the character itself, not an escaped one
    from modelsync.cli.announcer import own_url

    settings = load_settings()
    variables = _object(given) if given is not None else {}
    for pair in values:
        _assign(variables, pair)
    token = _token(settings, token_file)
    base = url or own_url(settings.server)
    if "://" not in base:
        base = f"http://{base}"
    answer = _post(f"{base.rstrip('/')}/{quote(model)}", {"variables": variables}, token, timeout)
    if not 200 <= answer.status_code < 300:
        _show_problem(answer)
        return 1
    _show(answer)
    return 0


def _object(text: str) -> dict[str, Any]:
    """Read the variables from JSON text, from @FILE, or from standard input (@-).

    Raises BadParameter if they are not a JSON object.
    """
    try:
        if text == "@-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text("utf-8")
        value = json.loads(text)
    except OSError as error:
        raise click.BadParameter(
            f"cannot read {error.filename}: {error.strerror}", param_hint="--variables"
        ) from None
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--variables") from None
    if not isinstance(value, dict):
        raise click.BadParameter("must be a JSON object", param_hint="--variables")
    return value


def _assign(variables: dict[str, Any], pair: str) -> None:
    """Put `a.b=1` into the variables as {"a": {"b": 1}}."""
    name, sign, text = pair.partition("=")
    *path, last = name.split(".")
    if not sign or not all((*path, last)):
        raise click.UsageError(f"{pair!r} is not NAME=VALUE")
    for key in path:
        variables = variables.setdefault(key, {})
        if not isinstance(variables, dict):
            raise click.UsageError(
                f"{name}: {key} has a value already, so nothing can be put into it"
            )
    variables[last] = _value(text)


def _value(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)  # NaN and Infinity are no JSON, so they are text

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return text


def _token(settings: Settings, file: Path | None) -> str:
    if file is None:
        return settings.access.predict_tokens.read().split(",")[0].strip()
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(
            f"cannot read {file}: {type(error).__name__}", param_hint="--token-file"
        ) from None


def _post(url: str, body: dict[str, Any], token: str, timeout: float) -> requests.Response:
    """Post the body. Raises ClickException if no answer comes, UsageError for a malformed URL."""
    import requests
    from urllib3.exceptions import ProtocolError

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        # In `auth`, because requests would otherwise send credentials of ~/.netrc instead.
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request

    try:
        return requests.post(url, json=body, auth=authorize, timeout=timeout, allow_redirects=False)
    except requests.Timeout:
        raise click.ClickException(f"no answer from {url} within {timeout:g} s") from None
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        if error.args and isinstance(error.args[0], ProtocolError):
            raise click.ClickException(
                "the service closed the connection without a whole answer: "
                "the model may have ended its worker; see the service's log"
            ) from None
        raise click.ClickException(
            f"cannot connect to {url}: is the service running? (start it with `modelsync serve`)"
        ) from None
    except requests.RequestException as error:
        raise click.UsageError(f"--url: {error}") from None


def _show(answer: requests.Response) -> None:
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print_json(answer.text)
    else:
        click.echo(answer.content.rstrip(b"\n"))


def _show_problem(answer: requests.Response) -> None:
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
    known = [
        f"{key.replace('_', ' ')} {problem[key]}"
        for key in ("request_id", "release")
        if problem.get(key)
    ]
    click.echo(
        f"modelsync: {styled(title, 'bold red')}:{''.join(fields) or f' {detail}'}", err=True
    )
    if known:
        click.echo(styled(f"  ({', '.join(known)})", "dim"), err=True)
