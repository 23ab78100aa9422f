"""Writes `serve_models.py`, a readable list of the routes of a release, and runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined

from modelsync.models.serialization import to_json
from modelsync.models.types import Fault, ModelEntry


class Routes(Protocol):
    """The object with which a `serve_models.py` registers its models.

    `folder` is relative to the directory of the release.
    """

    def model(self, name: str, *, folder: str, version: str, **properties: Any) -> None:
        """Add a model that serves; a stale one serves an earlier version.

        `properties`: the other fields of its `ModelSpec` that differ from their defaults.
        """

    def unavailable(self, name: str, *, reason: str) -> None:
        """Add a model of which no version can serve."""

    def all(self) -> None:
        """Add the route that asks every model."""


def generate(entries: Sequence[ModelEntry], *, base_url: str, release: str) -> str:
    """Return the Python source that registers the models of a release, sorted by name.

    The same release gives the same text. Names, reasons and everything else from a repository is
    quoted, so that it cannot become code. `base_url` has no slashes around it and may be empty.
    """
    entries = sorted(entries, key=lambda entry: entry.name)
    routes = _table(entries, f"/{base_url}/" if base_url else "/")
    return (
        _environment()
        .get_template("serve_models.py.j2")
        .render(entries=entries, routes=routes, release=release)
    )


def run(path: Path, routes: Routes) -> None:
    """Run a generated file: call its `register` with `routes`.

    Raises OSError if it cannot be read, and whatever its code raises.
    """
    names: dict[str, Any] = {"__name__": "serve_models", "__file__": str(path)}
    exec(compile(path.read_bytes(), str(path), "exec"), names)  # noqa: S102 - a generated file of the state directory
    names["register"](routes)


def _environment() -> Environment:
    environment = Environment(  # noqa: S701 - Python, not HTML: `literal` and `quoted` escape
        loader=PackageLoader("modelsync.models.codegen"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "literal": _literal,
        "quoted": _quoted,
        "reason": _reason,
        "arguments": _arguments,
    }
    return environment


def _table(entries: Sequence[ModelEntry], prefix: str) -> list[str]:
    rows = [(f"POST {prefix}{_quoted(entry.name)}", _note(entry)) for entry in entries]
    rows.append((f"POST {prefix}all", "every model"))
    width = max(len(route) for route, _ in rows)
    return [f"{route:{width}}  {note}".rstrip() for route, note in rows]


def _note(entry: ModelEntry) -> str:
    if entry.state == "failed":
        return f"not served: {_quoted(_reason(entry.fault))}"
    stale = f"stale, wanted {entry.wanted_version[:12]}: {_quoted(_reason(entry.fault))}"
    return f"version {entry.version[:12]}" + (f" ({stale})" if entry.state == "stale" else "")


def _arguments(entry: ModelEntry) -> str:
    """Return the arguments of `Routes.model`, without properties that have their default."""
    values = to_json(entry.spec)
    given = {
        item.name: values[item.name]
        for item in fields(entry.spec)
        if item.name not in ("name", "path") and getattr(entry.spec, item.name) != item.default
    }
    named = {"folder": entry.folder, **given}
    return ", ".join([_literal(entry.name), *(f"{key}={_literal(named[key])}" for key in named)])


def _reason(fault: Fault | None) -> str:
    return str(fault) if fault else "unknown"


def _literal(value: Any) -> str:
    """Return a JSON value as Python source; strings in double quotes, if that needs no escapes."""
    literal = repr(value)
    return (
        f'"{literal[1:-1]}"'
        if literal[0] == "'" and '"' not in literal and "\\" not in literal
        else literal
    )


def _quoted(text: str) -> str:
    """Return any text as one line that can stand in a docstring."""
    return text.encode("unicode_escape").decode().replace('"', '\\"')
