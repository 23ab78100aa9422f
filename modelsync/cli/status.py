"""`modelsync status`: what a running service serves, and what became of the last sync."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from modelsync.cli import console, service_client
from modelsync.cli.command import load_settings
from modelsync.cli.service_client import ServiceClient, short

SHOWN = 5
"""Models that one line names."""


@click.command(short_help="Show what a running service serves, and what its last sync did.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@service_client.options
def status(url: str | None, token_file: Path | None, timeout: float, *, as_json: bool) -> int:
    """Show the commit that serves, the last and the next sync, and each model that has a problem.

    The exit code is 1 if the service cannot be reached, is not ready, or serves a model not at all
    or in an earlier version.
    """
    service = ServiceClient.of(load_settings(), url, token_file, timeout)
    found = service.overview()
    broken = [model for model in found["models"] if model["state"] != "ready"]
    if as_json:
        service_client.print_json(found)
    else:
        for line in _lines(found, broken, service.url):
            click.echo(line)
    return 0 if found["ready"] and not broken else 1


def _lines(found: dict[str, Any], broken: list[dict[str, Any]], url: str) -> Iterator[str]:
    """Yield what a person reads; `broken`: the models that are not served in their version."""
    last = found["sync"]
    if found["ready"]:
        yield f"ready: {short(found['release'])} at {url}/"
    else:
        yield f"{console.marked('not ready', 'bold red')}: {found['reason']}"
    yield f"models: {len(found['models'])}, {len(broken)} with a problem"
    yield from _compiled(found["models"])
    yield from _shadow(found["models"])
    if last["result"]:
        why = f": {last['message']}" if last["message"] else ""
        when = f"{last['result']} at {_moment(last['time'])}"
        yield f"last sync: {when}, wanted {short(last['wanted'])}{why}"
    if last["next"]:
        yield f"next sync: {_moment(last['next'])}"
    for model in broken:
        state = console.marked(model["state"], "bold red")
        serves = f" (serves {short(model['version'])})" if model["version"] else ""
        yield f"  {model['name']} {state}{serves}: {model['reason']}"


def _compiled(models: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line on the models that have an estimator, if one has."""
    # A service of another version may not say it.
    states = {one["name"]: found["state"] for one in models if (found := one.get("compiled"))}
    if not set(states.values()) - {"off"}:
        return
    others = [name for name, state in states.items() if state != "compiled"]
    names = ", ".join(others[:SHOWN]) + (", …" if len(others) > SHOWN else "")
    rest = f", not {names}" if others else ""
    yield f"compiled: {len(states) - len(others)} of {len(states)} estimators{rest}"


def _shadow(models: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line on the answers of the candidate, if it was asked."""
    results = {one["name"]: copies for one in models if (copies := one.get("shadow"))}
    if not results:
        return
    total = sum(map(Counter, results.values()), Counter[str]())
    names = [name for name, found in results.items() if found.get("different")]
    where = f" ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''})" if names else ""
    parts = [f"{total[result]} {result}" for result in next(iter(results.values()))]
    yield f"candidate: {', '.join(parts)}{where}"


def _moment(time: str) -> str:
    """Return a time of the service, in ISO 8601, without fractions of a second."""
    return datetime.fromisoformat(time).isoformat(timespec="seconds")
