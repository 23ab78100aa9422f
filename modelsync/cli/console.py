"""Output to a terminal, with colours and a progress bar, or to a program, as plain columns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, alarming: frozenset[str] = frozenset()
) -> None:
    """Print rows under headers.

    On a terminal, cells whose text is in `alarming` are red, unless NO_COLOR is set.
    """
    if not sys.stdout.isatty():
        plain_table(headers, rows)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(*headers, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        grid.add_row(*(Text(cell, style="bold red" if cell in alarming else "") for cell in row))
    Console().print(grid)


def plain_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, nothing cut off."""
    lines = [headers, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


@contextmanager
def progress(task: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar on standard error, if that is a terminal.

    Yields a function to call with the name of each item that is done.
    """
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn(task),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[name]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        number = bar.add_task(task, total=total, name="")
        yield lambda name: bar.update(number, advance=1, name=name)


def styled(text: str, style: str) -> str:
    """The text in a style, for standard error; unstyled without a terminal or with NO_COLOR."""
    return _styled(text, style, stderr=True)


def marked(text: str, style: str) -> str:
    """The text in a style, for standard output, as `styled`."""
    return _styled(text, style, stderr=False)


def _styled(text: str, style: str, *, stderr: bool) -> str:
    if not (sys.stderr if stderr else sys.stdout).isatty():
        return text
    from rich.console import Console

    console = Console(stderr=stderr)
    with console.capture() as capture:
        console.print(text, style=style, end="", markup=False, highlight=False, soft_wrap=True)
    return capture.get()
