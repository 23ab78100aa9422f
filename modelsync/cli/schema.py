"""`modelsync schema`: writes a first schema.yml for some data, and checks data by one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelsync.cli.command import Verbs, load_settings
from modelsync.cli.faults import show_fault

if TYPE_CHECKING:
    from modelsync.data.sources import DataSource
    from modelsync.models.data_schema import DataSchema
    from modelsync.models.types import ModelSpec
    from modelsync.settings import Settings

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Verbs, short_help="Write a schema.yml for data, and check data by one.")
def schema() -> None:
    """The schema of a model's data: the file schema.yml in its folder.

    \b
      modelsync schema infer data/*.csv --target y > models_serve/Price/schema.yml
      modelsync schema check data/today.csv --model Price

    DATA is a file, a folder or a pattern, Parquet, CSV or JSON lines, here or at s3://; a SELECT;
    or a table of the database of training data (MODELSYNC_DATA_URL).
    """  # noqa: D301 - for click it is the character itself, not an escaped one


@schema.command(short_help="Write a first schema.yml from some data.")
@click.argument("data")
@click.option(
    "--target", multiple=True, help="The column that is predicted; several times for more."
)
def infer(data: str, target: tuple[str, ...]) -> None:
    """Print a schema.yml that DATA fits: types, missing values, the values of texts that repeat.

    Ranges are comments: whether they must hold is yours to say.
    """
    settings = load_settings()
    from modelsync.data.record_batches import unknown_column
    from modelsync.data.schema_inference import infer

    folder, text = _place(data)

    def examine(rules: DataSchema | None) -> DataSource:
        return _examine(text, folder, settings, rules)

    names = examine(None).columns.names
    for name in target:
        if name not in names:
            raise click.ClickException(unknown_column(name, names, data))
    click.echo(infer(examine, target), nl=False)


@schema.command(short_help="Check data by a schema.yml.")
@click.argument("data", required=False)
@click.option("--schema", "file", type=FILE, help="The schema; by default schema.yml here.")
@click.option("--model", help="The model whose schema it is; without DATA its source is checked.")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to print.",
)
def check(data: str | None, file: Path | None, model: str | None, layout: str) -> int:
    """Check all rows of DATA. The exit code is 1 if they break the schema.

    The report names each column and rule that is broken, how many rows break it, and the first ten.
    """
    settings = load_settings()
    if file and model:
        raise click.UsageError("--schema and --model: give one of them")
    spec = _model(model, settings) if model else None
    rules = spec.schema if spec else _rules(file)
    from modelsync.data import checking, reports

    source = _source(data, spec, settings, rules)
    report = checking.check(source, rules, name=data or "")
    if layout == "json":
        import orjson

        from modelsync.models.serialization import to_json

        found = {**to_json(report), "passed": report.passed}
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        click.echo(reports.text(report))
    return 0 if report.passed else 1


def _model(name: str, settings: Settings) -> ModelSpec:
    """Return the folder of a model, in the current directory as `modelsync check` finds it."""
    from modelsync.cli.folders import find

    folders = find(Path.cwd(), settings)
    found = next((one for one in folders if one.name == name), None)
    if found is None:
        raise click.ClickException(
            f"there is no model {name}; there are {', '.join(one.name for one in folders)}"
        )
    if found.fault:
        show_fault(found, found.fault)
        raise click.ClickException(f"{name} is broken")
    if found.schema is None:
        raise click.ClickException(f"{name} has no schema.yml: `modelsync schema infer` writes one")
    return found


def _rules(file: Path | None) -> DataSchema:
    """Return the schema of a file. Raises ClickException with what is wrong in it."""
    from modelsync.models.convention import SCHEMA
    from modelsync.models.schemas.reading import read
    from modelsync.models.types import Fault

    file = file or Path(SCHEMA)
    if not file.is_file():
        raise click.UsageError(f"no {SCHEMA} here: name one by --schema, or a model by --model")
    found = read(file.read_bytes(), str(file))
    if isinstance(found, Fault):
        raise click.ClickException(str(found))
    return found


def _source(
    data: str | None, spec: ModelSpec | None, settings: Settings, rules: DataSchema | None
) -> DataSource:
    from modelsync.data import sources

    if data:
        folder, text = _place(data)
        if spec and not sources.is_there(text, folder=folder, settings=settings):
            folder = spec.path
        return _examine(text, folder, settings, rules)
    if spec is None or not spec.plan.source:
        raise click.UsageError("DATA: name the data to check")
    return sources.first(spec.plan.source, folder=spec.path, settings=settings, schema=rules)


def _examine(text: str, folder: Path, settings: Settings, rules: DataSchema | None) -> DataSource:
    from modelsync.data.sources import examine

    return examine(text, "", folder=folder, settings=settings, schema=rules)


def _place(data: str) -> tuple[Path, str]:
    """Return the folder in which a path or pattern is looked for, and the path in it.

    A shell may name any file; a source of a model only those of its folder and MODELSYNC_DATA.
    """
    path = Path(data).expanduser()
    if "://" in data or not (path.is_absolute() or ".." in path.parts):
        return Path.cwd(), data
    plain = [part for part in path.parts if not re.search(r"[*?[]", part)]
    folder = Path(*path.parts[: min(len(plain), len(path.parts) - 1)])
    return folder, str(path.relative_to(folder))
