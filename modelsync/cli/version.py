"""`modelsync version`: the versions that a bug report needs."""

from __future__ import annotations

import click


@click.command(short_help="Print the versions, for a bug report.")
def version() -> None:
    """Print the versions of modelsync, Python and the libraries that matter in a bug report."""
    import platform
    from importlib import metadata

    from modelsync import __version__
    from modelsync.extension_types import compiled

    parts = [
        f"{name} {metadata.version(name)}" for name in ("gunicorn", "flask", "uvloop", "pydantic")
    ]
    if compiled():
        parts.append("predict path compiled")
    click.echo(f"modelsync {__version__} (Python {platform.python_version()}, {', '.join(parts)})")
