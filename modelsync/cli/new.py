"""`modelsync new`: a model folder from a template."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command(short_help="Make a model folder from a template.")
@click.argument("name")
@click.option(
    "--in",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    default="models_serve",
    show_default=True,
    help="The folder that holds the model folders.",
)
@click.option("--function", is_flag=True, help="Make a plain function in place of a class.")
def new(name: str, root: Path, *, function: bool) -> int:
    """Make the folder of a new model from a template: etls.py and an example, ready to be filled
    in.
    """
    from modelsync.models.codegen import scaffold

    for file in scaffold.create(name, root, function=function):
        click.echo(f"made {os.path.relpath(file)}")
    click.echo(f"fill it in, then: modelsync check {os.path.relpath(root / name)}")
    return 0
