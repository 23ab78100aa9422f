"""`modelsync check`: loads models and runs their examples, as a sync would. Needs no service."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelsync.cli import console
from modelsync.cli.command import FOLDER, load_settings
from modelsync.cli.copies import copied, ignored
from modelsync.cli.faults import show_fault
from modelsync.cli.folders import (
    environments_folder,
    find,
    passed_over,
    shared_requirements,
)

if TYPE_CHECKING:
    from modelsync.environments.requirements import Found
    from modelsync.models.model_warnings import ModelWarning, PassedOver
    from modelsync.models.types import CheckResult, ModelName, ModelSpec
    from modelsync.settings import Settings


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
@click.option("--strict", is_flag=True, help="Exit with 1 also if there is a warning.")
def check(path: Path, layout: str, *, strict: bool) -> int:
    """Load every model of PATH, run its examples and compile its estimator, as a sync would, before
    it is pushed.

    PATH is a repository, a folder of model folders or one model folder; by default the current
    directory. The exit code is 1 if any model is broken, so the repository's own CI can run it.
    """
    settings = load_settings()
    folders = find(path, settings)
    with tempfile.TemporaryDirectory(prefix="modelsync-check-", ignore_cleanup_errors=True) as name:
        copies = copied(path, folders, Path(name), settings)
        results = _results(path, folders, copies, settings)
    others = passed_over(path, folders, settings)
    (_print_json if layout == "json" else _print_table)(folders, results, others)
    warned = bool(others) or any(result.warnings for result in results.values())
    good = all(result.ok for result in results.values())
    return 0 if good and not (strict and warned) else 1


def _results(
    path: Path, folders: list[ModelSpec], copies: list[ModelSpec], settings: Settings
) -> dict[ModelName, CheckResult]:
    """The result of each model; the `copies` of their folders are what is loaded."""
    from modelsync.files import listed
    from modelsync.models.check import checker
    from modelsync.models.discovery.repository_code import modules_out_of_reach
    from modelsync.models.discovery.work_tree import LocalRepository
    from modelsync.releases.fitted import FittedVersions
    from modelsync.settings import child_environment

    shared = shared_requirements(path, folders, settings)
    copies, pythons = _with_environments(copies, shared, settings)
    repository = LocalRepository.of(folders[0].path.parent, path.resolve())
    beside = listed(folders[0].path.parent) | listed(Path.cwd())
    beside -= {f"{folder.name}/" for folder in folders}
    lost = ignored(path, folders, copies)
    with console.progress("checking", len(folders)) as advance:
        found = checker.check(
            copies,
            timeout=settings.sync.check_timeout,
            environ=child_environment(),
            beside=beside | modules_out_of_reach(repository.files(), repository.subdir),
            pythons=pythons,
            fitted=FittedVersions(settings.state.home).serving(),
            mismatch=settings.training.mismatch,
            on_progress=lambda result: advance(result.name),
        )
    results = {result.name: _with_warning(result, lost.get(result.name)) for result in found}
    return _with_compilations(copies, results, pythons, settings)


def _with_compilations(
    copies: list[ModelSpec],
    results: dict[ModelName, CheckResult],
    pythons: dict[str, Path],
    settings: Settings,
) -> dict[ModelName, CheckResult]:
    """The results with what comes of compiling each model that has an estimator."""
    from modelsync.sync.compiling import compile_checked, has_estimator

    wanted = [spec for spec in copies if results[spec.name].ok and has_estimator(spec)]
    if not wanted:
        return results
    with console.progress("compiling", len(wanted)) as advance:
        found = compile_checked(wanted, results, settings, pythons, on_progress=advance)
    return {
        name: dataclasses.replace(result, compilation=found.get(name))
        for name, result in results.items()
    }


def _with_warning(result: CheckResult, warning: ModelWarning | None) -> CheckResult:
    return dataclasses.replace(result, warnings=(*result.warnings, warning)) if warning else result


def _with_environments(
    folders: list[ModelSpec], shared: Found, settings: Settings
) -> tuple[list[ModelSpec], dict[str, Path]]:
    """The folders with the environments that they require, which are built as in a sync, and the
    Python of each environment.

    No sync removes them as long as this process lives.
    """
    from modelsync.environments.assignment import assign
    from modelsync.environments.builder import Builder

    place = environments_folder(settings)
    builder = Builder(settings.environments, place, settings.git.cache)
    with console.progress("building environments", len(folders)) as advance:
        found = assign(folders, shared, builder, on_progress=lambda spec: advance(spec.name))
    pythons = builder.environments.pythons({spec.environment for spec in found})
    for environment in pythons:
        builder.environments.hold(environment)
    return found, pythons


def _print_table(
    folders: list[ModelSpec], results: dict[ModelName, CheckResult], others: list[PassedOver]
) -> None:
    """Print a row for each model to standard output, and the faults to standard error."""
    rows = []
    compilations = [result.compilation for result in results.values() if result.compilation]
    has_compiled = any(one.state != "off" for one in compilations)
    for folder in folders:
        result = results[folder.name]
        compilation = result.compilation
        waits = result.measured.unfitted > 0
        sound = "not fitted yet" if waits else "warning" if result.warnings else "ok"
        state = sound if result.ok else "broken"
        rows.append(
            (
                folder.name,
                state,
                _time(result.measured.load_seconds),
                _time(result.measured.call_seconds),
                str(result.measured.examples),
                *([compilation.speed if compilation else "-"] if has_compiled else []),
            )
        )
    console.table(
        ("model", "state", "loads in", "answers in", "examples", *["compiled"][:has_compiled]),
        rows,
        alarming=frozenset({"broken"}),
    )
    for folder in folders:
        _print_place(results[folder.name])
    if has_compiled:
        _print_uncompiled(results)
    _print_warnings(results)
    _print_passed_over(others)
    sys.stdout.flush()
    for folder in folders:
        show_fault(folder, results[folder.name].fault)
    broken = sum(not result.ok for result in results.values())
    count = f"{len(folders)} model{'s' if len(folders) != 1 else ''}"
    click.echo(f"\n{count}, {f'{broken} broken' if broken else _verdict(results, others)}")


def _verdict(results: dict[ModelName, CheckResult], others: list[PassedOver]) -> str:
    """Return what the check says of models of which none is broken."""
    waiting = [result.name for result in results.values() if result.measured.unfitted]
    warned = sum(bool(result.warnings) for result in results.values())
    notes = []
    if warned:
        notes.append(f"{warned} with a warning")
    if others:
        notes.append(f"{len(others)} passed over")
    if waiting:
        notes.append(f"not called, because nothing is fitted yet: {', '.join(waiting)}")
    return "; ".join(["none broken", *notes]) if notes else "all good"


def _print_place(result: CheckResult) -> None:
    """Print where a model runs and why, unless it runs as most do."""
    from modelsync.models.placement import PLACES

    placement = result.placement
    if result.ok and placement.place != "worker":
        click.echo(f"\n{result.name} runs in {PLACES[placement.place]}: {placement.reason}")


def _print_uncompiled(results: dict[ModelName, CheckResult]) -> None:
    """Print why an estimator answers by itself, once for the models that share the reason."""
    found: dict[str, list[str]] = {}
    for result in results.values():
        if result.compilation and result.compilation.state != "compiled":
            found.setdefault(str(result.compilation), []).append(result.name)
    for text, names in found.items():
        click.echo(f"\n{', '.join(names)} {'is' if len(names) == 1 else 'are'} {text}")


def _print_warnings(results: dict[ModelName, CheckResult]) -> None:
    """Print what may be wrong with models that serve all the same, once for those that share it."""
    found: dict[str, list[str]] = {}
    for result in results.values():
        for warning in result.warnings:
            found.setdefault(str(warning), []).append(result.name)
    for text, names in found.items():
        click.echo(f"\n{console.marked('warning', 'yellow')}: {', '.join(names)}: {text}")


def _print_passed_over(others: list[PassedOver]) -> None:
    """Print a line for each folder that looks like a model and is not taken."""
    if others:
        click.echo()
    for one in others:
        hint = f" ({one.hint})" if one.hint else ""
        click.echo(f"{one.path}: {console.marked('passed over', 'yellow')}: {one.reason}{hint}")


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _print_json(
    folders: list[ModelSpec], results: dict[ModelName, CheckResult], others: list[PassedOver]
) -> None:
    """Print the results, the number of broken models and what is passed over, as JSON."""
    import orjson

    models = []
    for folder in folders:
        result = results[folder.name]
        values = dataclasses.asdict(result)
        measured = values.pop("measured")
        del values["answers"], values["compilation"]
        values["compiled"] = result.compilation.described() if result.compilation else None
        models.append({**values, **measured, "ok": result.ok, "folder": str(folder.path)})
    broken = sum(not model["ok"] for model in models)
    document = {
        "models": models,
        "broken": broken,
        "passed_over": [dataclasses.asdict(one) for one in others],
    }
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
