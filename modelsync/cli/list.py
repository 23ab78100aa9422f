"""`modelsync list`: the models of a running service."""

from __future__ import annotations

from pathlib import Path

import click

from modelsync.cli import console, service_client
from modelsync.cli.command import load_settings
from modelsync.cli.service_client import ServiceClient, short


@click.command("list", short_help="List the models of a running service.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@service_client.options
def list_models(url: str | None, token_file: Path | None, timeout: float, *, as_json: bool) -> None:
    """List the models of a service: state, version, where each runs, and what it says of itself."""
    models = ServiceClient.of(load_settings(), url, token_file, timeout).overview()["models"]
    if as_json:
        service_client.print_json(models)
        return
    rows = [
        (
            model["name"],
            model["state"],
            short(model["version"]),
            model["place"],
            # The first line: of a long text, what the model is.
            (model["reason"] or model["doc"] or "").strip().partition("\n")[0],
        )
        for model in models
    ]
    header = ("model", "state", "version", "runs in", "")
    console.table(header, rows, alarming=frozenset({"failed", "stale"}))
