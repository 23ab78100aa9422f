"""`modelsync call`: one prediction by a running service, from a shell."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import click

from modelsync.cli import service_client
from modelsync.cli.command import load_settings
from modelsync.cli.service_client import ServiceClient, show_problem

if TYPE_CHECKING:
    import requests


STALE = "its newest version is broken, an earlier one has answered; `modelsync status` says why"


@click.command(short_help="Send one prediction to a running service.")
@click.argument("model")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--variables",
    "given",
    metavar="JSON|@FILE",
    help="The variables as a JSON object; @- reads standard input.",
)
@service_client.options
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
    variables = _object(given) if given is not None else {}
    for pair in values:
        _assign(variables, pair)
    service = ServiceClient.of(load_settings(), url, token_file, timeout)
    answer = service.ask("POST", f"/{quote(model)}", {"variables": variables})
    if not 200 <= answer.status_code < 300:
        show_problem(answer)
        return 1
    _show(answer)
    if answer.headers.get("X-Modelsync-Model-State") == "stale":
        click.echo(f"modelsync: {model} is stale: {STALE}", err=True)
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


def _show(answer: requests.Response) -> None:
    if sys.stdout.isatty():
        from rich.console import Console

        Console().print_json(answer.text)
    else:
        click.echo(answer.content.rstrip(b"\n"))
