"""The faults of models, printed as compilers print theirs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from modelsync.cli import console

if TYPE_CHECKING:
    from modelsync.models.types import Fault, ModelSpec


def show_fault(folder: ModelSpec, fault: Fault | None) -> None:
    """Print a fault to standard error: file, line, reason, and below it the hint."""
    if fault is None:
        return
    place = os.path.relpath(folder.path / fault.file if fault.file else folder.path)
    where = f"{place}:{fault.line}" if fault.line else place
    message = console.styled(fault.message, "red")
    click.echo(f"\n{console.styled(where, 'bold')}: {message}", err=True)
    if fault.hint:
        click.echo(f"    {fault.hint}", err=True)
