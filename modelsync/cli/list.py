"""`modelsync list`: the models of a running service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelsync.cli import console, service_client
from modelsync.cli.command import load_settings
from modelsync.cli.service_client import ServiceClient, short


@click.command("list", short_help="List the models of a running service.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@service_client.options
def list_models(url: str | None, token_file: Path | None, timeout: float, *, as_json: bool) -> None:
    """List the models of a service: state, version, where each runs, how many times as fast its
    compiled form is, and what it says of itself.
    """
    models = ServiceClient.of(load_settings(), url, token_file, timeout).overview()["models"]
    if as_json:
        service_client.print_json(models)
        return
    speeds = [_speed(model.get("compiled")) for model in models]
    has_compiled = any(speed not in ("-", "off") for speed in speeds)
    rows = [
        (
            model["name"],
            model["state"],
            short(model["version"]),
            model["place"],
            *([speed] if has_compiled else []),
            # The first line: of a long text, what the model is.
            (model["reason"] or model["doc"] or "").strip().partition("\n")[0],
        )
        for model, speed in zip(models, speeds, strict=True)
    ]
    header = ("model", "state", "version", "runs in", *(["compiled"] if has_compiled else []), "")
    console.table(header, rows, alarming=frozenset({"failed", "stale"}))


def _speed(found: dict[str, Any] | None) -> str:
    """Return the cell of a model; of a service of another version, perhaps without a figure."""
    from modelsync.models.compilation import Compilation

    return Compilation(found["state"], speedup=found.get("speedup")).speed if found else "-"
