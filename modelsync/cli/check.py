"""Working on model folders: check, generate, new. None of them needs a running service."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelsync.cli import console
from modelsync.cli.command import load_settings

if TYPE_CHECKING:
    from modelsync.models.types import CheckResult, Fault, ModelEntry, ModelName, ModelSpec
    from modelsync.settings import Settings

SOURCE = "etls.py"
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.command(short_help="Load models and run their examples, before a push.")
@click.argument("path", type=FOLDER, default=".")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print.",
)
def check(path: Path, layout: str) -> int:
    """Load every model of PATH and run its examples, as a sync would, before it is pushed.

    PATH is a repository, a folder of model folders or one model folder; by default the current
    directory. The exit code is 1 if any model is broken, so it can stand in the repository's own
    CI.
    """
    settings = load_settings()
    folders = find(path, settings)
    from modelsync.files import listed
    from modelsync.models.check import checker
    from modelsync.settings import child_environment

    beside = listed(folders[0].path.parent) | listed(Path.cwd())
    with console.progress("checking", len(folders)) as advance:
        found = checker.check(
            folders,
            timeout=settings.sync.check_timeout,
            environ=child_environment(),
            beside=beside - {f"{folder.name}/" for folder in folders},
            on_progress=lambda result: advance(result.name),
        )
    results = {result.name: result for result in found}
    (_print_json if layout == "json" else _print_table)(folders, results)
    return 0 if all(results[folder.name].ok for folder in folders) else 1


def find(path: Path, settings: Settings) -> list[ModelSpec]:
    """Give the model folders that PATH stands for. Raises ClickException where there is none."""
    from modelsync.models.discovery.folders import discover

    path = path.resolve()
    if (path / SOURCE).is_file():
        return [folder for folder in discover(path.parent) if folder.path.name == path.name]
    # As a sync sees a repository, then as a service without one does.
    inside = [path / settings.git.subdir] if settings.git.subdir else [path, path / "models_serve"]
    for root in inside:
        if folders := discover(root):
            return folders
    raise click.ClickException(f"no model in {inside[0]}: a model is a folder with a file {SOURCE}")


def _print_table(folders: list[ModelSpec], results: dict[ModelName, CheckResult]) -> None:
    rows = []
    for folder in folders:
        result = results[folder.name]
        state = "ok" if result.ok else "broken"
        rows.append(
            (
                folder.name,
                state,
                _time(result.load_seconds),
                _time(result.call_seconds),
                str(result.examples),
            )
        )
    console.table(
        ("model", "state", "loads in", "answers in", "examples"),
        rows,
        alarming=frozenset({"broken"}),
    )
    sys.stdout.flush()
    for folder in folders:
        show_fault(folder, results[folder.name].fault)
    broken = sum(not result.ok for result in results.values())
    count = f"{len(folders)} model{'s' if len(folders) != 1 else ''}"
    click.echo(f"\n{count}, {f'{broken} broken' if broken else 'all good'}")


def show_fault(folder: ModelSpec, fault: Fault | None) -> None:
    """Print a fault as compilers do: file, line, reason, and below it what to do."""
    if fault is None:
        return
    place = os.path.relpath(folder.path / fault.file if fault.file else folder.path)
    where = f"{place}:{fault.line}" if fault.line else place
    click.echo(f"\n{console.styled(where, 'bold')}: {fault.message}", err=True)
    if fault.hint:
        click.echo(f"    {fault.hint}", err=True)


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _print_json(folders: list[ModelSpec], results: dict[ModelName, CheckResult]) -> None:
    import orjson

    models = []
    for folder in folders:
        result = results[folder.name]
        models.append({**dataclasses.asdict(result), "ok": result.ok, "folder": str(folder.path)})
    broken = sum(not model["ok"] for model in models)
    click.echo(orjson.dumps({"models": models, "broken": broken}, option=orjson.OPT_INDENT_2))


@click.command(short_help="Write serve_models.py, the list of routes.")
@click.argument("folder", type=FOLDER, required=False)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; by default serve_models.py beside FOLDER.",
)
def generate(folder: Path | None, output: Path | None) -> int:
    """Write serve_models.py, which lists every route, for the models in FOLDER (by default
    models_serve).

    It is for reading: a service writes its own for each release that it serves.
    """
    settings = load_settings()
    root = folder or settings.state.models
    if not root.is_dir():
        raise click.BadParameter(f"{root} is no folder", param_hint="FOLDER")
    from modelsync.files import tree_hash, write_atomically
    from modelsync.models.codegen import generator
    from modelsync.models.discovery.folders import discover

    output = (output or root.resolve().parent / "serve_models.py").resolve()
    folders = discover(root)
    entries = [_entry(model, output.parent) for model in folders]
    code = generator.generate(entries, base_url=settings.server.base_url, release=tree_hash(root))
    write_atomically(output, code.encode())
    for model in folders:
        if model.fault is None:
            click.echo(f"POST /{'/'.join(filter(None, (settings.server.base_url, model.name)))}")
        else:
            show_fault(model, model.fault)
    refused = sum(model.fault is not None for model in folders)
    click.echo(
        f"wrote {os.path.relpath(output)}: {len(folders) - refused} routes, {refused} folders refused"
    )
    return 0


def _entry(model: ModelSpec, beside: Path) -> ModelEntry:
    """Give a folder as generated code registers it, which only knows what the static check found."""
    from modelsync.models.types import ModelEntry

    return ModelEntry(
        name=model.name,
        state="failed" if model.fault else "ready",
        version="" if model.fault else model.version,
        wanted_version=model.version,
        release="",
        folder=os.path.relpath(model.path.resolve(), beside),
        class_name=model.class_name,
        writes_self=model.writes_self,
        is_async=model.is_async,
        artefact=model.artefact,
        fault=model.fault,
    )


@click.command(short_help="Make a model folder from a template.")
@click.argument("name")
@click.option(
    "--in", "root", type=click.Path(file_okay=False, path_type=Path), default="models_serve", show_default=True,
    help="The folder that holds the model folders.",
)  # fmt: skip
def new(name: str, root: Path) -> int:
    """Make the folder of a new model from a template: etls.py and an example, ready to be filled
    in.
    """
    from modelsync.models.codegen import scaffold

    for file in scaffold.create(name, root):
        click.echo(f"made {os.path.relpath(file)}")
    click.echo(f"fill it in, then: modelsync check {os.path.relpath(root / name)}")
    return 0
