"""`modelsync generate`: the readable list of routes of a folder of models."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelsync.cli.command import FOLDER, load_settings
from modelsync.cli.faults import show_fault
from modelsync.cli.folders import selected

if TYPE_CHECKING:
    from modelsync.models.types import ModelEntry, ModelSpec


@click.command(short_help="Write serve_models.py, the list of routes.")
@click.argument("folder", type=FOLDER, required=False)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; by default serve_models.py beside FOLDER.",
)
def generate(folder: Path | None, output: Path | None) -> int:
    """Write serve_models.py, which lists every route, for the models in FOLDER (by default
    models_serve) that MODELSYNC_GIT_MODELS selects.

    The file is for reading only: a service writes its own for each release that it serves.
    """
    settings = load_settings()
    root = folder or settings.state.models
    if not root.is_dir():
        raise click.BadParameter(f"{root} is not a folder", param_hint="FOLDER")
    from modelsync.files import tree_hash, write_atomically
    from modelsync.models.codegen import generator

    output = (output or root.resolve().parent / "serve_models.py").resolve()
    folders = selected(root, settings)
    entries = [_entry(model, output.parent) for model in folders]
    code = generator.generate(entries, base_url=settings.server.base_url, release=tree_hash(root))
    write_atomically(output, code.encode())
    for model in folders:
        if model.fault is None:
            click.echo(f"POST /{'/'.join(filter(None, (settings.server.base_url, model.name)))}")
        else:
            show_fault(model, model.fault)
    refused = sum(model.fault is not None for model in folders)
    routes = len(folders) - refused
    click.echo(f"wrote {os.path.relpath(output)}: {routes} routes, {refused} folders refused")
    return 0


def _entry(model: ModelSpec, beside: Path) -> ModelEntry:
    """The entry of a model in generated code, from the results of the static analysis alone."""
    from modelsync.models.types import ModelEntry

    path = Path(os.path.relpath(model.path.resolve(), beside))
    if model.shared:
        model = dataclasses.replace(model, shared=Path(os.path.relpath(model.shared, beside)))
    return ModelEntry.of(model, path, fault=model.fault)
