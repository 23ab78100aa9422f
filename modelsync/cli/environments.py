"""`modelsync environments`: builds environments beforehand, lists and removes them."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelsync.cli import console
from modelsync.cli.command import FOLDER, Verbs, load_settings
from modelsync.cli.faults import show_fault
from modelsync.cli.folders import find, shared_requirements

if TYPE_CHECKING:
    from modelsync.environments.requirements import Found
    from modelsync.models.types import ModelSpec
    from modelsync.settings import Settings


@click.group(cls=Verbs, short_help="Build, list and remove the environments of models.")
def environments() -> None:
    """The Python environments that the requirements of model folders make.

    A service builds them itself. In an image, or where it has no package index, build them
    beforehand into the folder that MODELSYNC_ENVIRONMENTS names.
    """


@environments.command(short_help="Build what the models require.")
@click.argument("path", type=FOLDER, required=False)
def build(path: Path | None) -> int:
    """Build the environments of the models of PATH: a repository, a folder of model folders or one
    model folder; by default those of the repository gitPath, or of models_serve/.

    They go into the folder MODELSYNC_ENVIRONMENTS, if that is set, else into the state directory.
    The exit code is 1 if one cannot be built.
    """
    settings = load_settings()
    if path is not None:
        folders = find(path, settings)
        return _build(folders, shared_requirements(path, folders, settings), settings)
    with tempfile.TemporaryDirectory(prefix="modelsync-environments-") as scratch:
        return _build(*_exported(settings, Path(scratch)), settings)


def _exported(settings: Settings, scratch: Path) -> tuple[list[ModelSpec], Found]:
    """The models of the source that the settings name, and what they share. Raises SyncError."""
    from modelsync.deadline import Deadline
    from modelsync.models.discovery.folders import discover
    from modelsync.sync.selected import missing, model_folders
    from modelsync.sync.sources import source_of

    home = dataclasses.replace(settings.state, home=scratch)
    source = source_of(dataclasses.replace(settings, state=home))
    deadline = Deadline(settings.sync.timeout)
    commit = source.resolve(deadline)
    root, selection = scratch / "models_serve", source.selection
    exported = source.export(commit, root, deadline)
    if not (found := discover(root, exported.versions, takes=selection.takes)):
        raise source.no_models(commit, deadline)
    names = source.inspect(commit, deadline, lambda files: model_folders(files, source.view))
    return [*found, *missing(selection, found, root, names, source.view)], exported.shared


def _build(folders: list[ModelSpec], shared: Found, settings: Settings) -> int:
    """Build the environments of the folders, print them, and what cannot be built."""
    from modelsync.environments.assignment import assign
    from modelsync.environments.builder import CACHE, Builder
    from modelsync.environments.store import folder_of
    from modelsync.files import remove_tree

    prepared = settings.environments.prepared
    own = dataclasses.replace(settings.environments, prepared=None)
    builder = Builder(own, prepared or folder_of(settings.state.home), settings.git.cache)
    with console.progress("building environments", len(folders)) as advance:
        found = assign(folders, shared, builder, on_progress=lambda spec: advance(spec.name))
    if prepared:  # nothing more is built there, and environments hold what they have linked
        remove_tree(builder.environments.folder / CACHE)
    rows = [
        (spec.name, "broken" if spec.fault else spec.environment or "none: that of the service")
        for spec in found
    ]
    console.table(("model", "environment"), rows, alarming=frozenset({"broken"}))
    sys.stdout.flush()
    for spec in found:
        show_fault(spec, spec.fault)
    return 1 if any(spec.fault for spec in found) else 0


@environments.command("list", short_help="List the environments that are here.")
def list_() -> None:
    """List the environments, and the models of the kept releases that use them."""
    settings = load_settings()
    from modelsync.environments.store import Environments, folder_of
    from modelsync.releases.store import Releases

    users: dict[str, set[str]] = {}
    for release in Releases(settings.state.home).history():
        for name, entry in release.models.items():
            users.setdefault(entry.spec.environment, set()).add(name)
    here = Environments(folder_of(settings.state.home), settings.environments.prepared)
    rows = [
        (
            item.id,
            item.python,
            str(len(item.packages)),
            f"{item.size / 2**20:.1f} MiB",
            item.created[:19],
            ", ".join(sorted(users.get(item.id, ()))) or "-",
        )
        for item in here.all()
    ]
    console.table(("environment", "python", "packages", "size", "built", "models"), rows)


@environments.command(short_help="Remove the environments that no release needs.")
def clean() -> None:
    """Remove the environments that no kept release needs, and what uv has downloaded; also those
    that `modelsync check` has built where there is no state directory.

    What is in use stays; environments keep the files that they have from the download.
    """
    settings = load_settings()
    from modelsync.environments.builder import CACHE, RESOLVED
    from modelsync.environments.store import Environments, folder_of
    from modelsync.files import remove_tree
    from modelsync.releases.store import Releases
    from modelsync.settings import user_cache

    needed = Releases(settings.state.home).environments()
    for folder in (folder_of(settings.state.home), user_cache() / "environments"):
        here = Environments(folder)
        if here.folder.is_dir():
            gone = here.sweep(needed)
            for name in (CACHE, RESOLVED):
                remove_tree(here.folder / name)
            count = f"{len(gone)} environment{'s' if len(gone) != 1 else ''}"
            click.echo(f"removed {count} and the cache from {here.folder}")
