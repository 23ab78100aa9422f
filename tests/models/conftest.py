"""Model folders to test with."""

from __future__ import annotations

import pickle
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import joblib
import pytest

from modelsync.files import copy_tree
from modelsync.models.discovery.folders import discover
from modelsync.models.discovery.repository_files import FolderFiles
from modelsync.models.discovery.shared_folders import SharedFolders
from modelsync.models.isolation import patches
from modelsync.models.isolation.model_package import ROOT
from modelsync.models.loading.loader import load, unload
from modelsync.models.types import LoadedModel, ModelSpec

Write = Callable[..., Path]
Find = Callable[[str], ModelSpec]
Load = Callable[..., LoadedModel]
Put = Callable[..., LoadedModel]
Repository = Callable[..., dict[str, LoadedModel]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder that holds the model folders."""
    path = tmp_path / "models_serve"
    path.mkdir()
    return path


@pytest.fixture
def write(root: Path) -> Write:
    """Write a model's folder: `write("Churn", etls, {"helpers.py": ...})`."""

    def write(
        name: str, etls: str | None = None, files: dict[str, str | bytes] | None = None
    ) -> Path:
        folder = root / name
        folder.mkdir(exist_ok=True)
        for file, content in {
            **({} if etls is None else {"etls.py": etls}),
            **(files or {}),
        }.items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(
                content if isinstance(content, bytes) else textwrap.dedent(content).encode()
            )
        return folder

    return write


@pytest.fixture
def find(root: Path) -> Callable[[str], ModelSpec]:
    """A model folder as discovery describes it."""
    return lambda name: next(folder for folder in discover(root) if folder.name == name)


@pytest.fixture
def serve(write: Write, find: Find) -> Iterator[Load]:
    """Write a folder and load it."""
    loaded: list[LoadedModel] = []

    def serve(
        etls: str | None, files: dict[str, str | bytes] | None = None, name: str = "Churn"
    ) -> LoadedModel:
        write(name, etls, files)
        loaded.append(model := load(find(name)))
        return model

    yield serve
    for model in loaded:
        unload(model)
    assert [name for name in sys.modules if name.startswith(f"{ROOT}.")] == []


@pytest.fixture
def put(write: Write, serve: Load) -> Put:
    """Save something as a model's artefact, and load that model."""

    def put(
        thing: Any, file: str = "model.joblib", name: str = "Ready", **files: str
    ) -> LoadedModel:
        folder = write(name, files={f"{key}.py": text for key, text in files.items()})
        if file.endswith(".joblib"):
            joblib.dump(thing, folder / file)
        else:
            content = thing if isinstance(thing, bytes) else pickle.dumps(thing)
            (folder / file).write_bytes(content)
        return serve(None, name=name)

    return put


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """Write a repository, and load its models with the shared files that a release would have."""
    patches.install()
    loaded: list[LoadedModel] = []

    def load_all(
        files: Mapping[str, str | bytes], *names: str, subdir: str = "models_serve", at: str = "a"
    ) -> dict[str, LoadedModel]:
        top = tmp_path / at
        for name, content in files.items():
            file = top / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(
                content if isinstance(content, bytes) else textwrap.dedent(content).encode()
            )
        release = tmp_path / f"release-{at}"
        (folders := release / "models_serve").mkdir(parents=True, exist_ok=True)
        for spec in discover(top / subdir):
            if not (folder := folders / spec.name).exists():
                copy_tree(spec.path, folder)
        shared = SharedFolders(FolderFiles(top), subdir, release / "shared")
        specs = discover(folders, subdir=subdir, shared=shared)
        models = [load(spec) for spec in specs if spec.name in names]
        loaded.extend(models)
        return {str(model.name): model for model in models}

    yield load_all
    for model in loaded:
        unload(model)
    assert [name for name in sys.modules if name.startswith(f"{ROOT}.")] == []
    assert [name for name in sys.modules if name in ("utils", "common", "Churn", "helpers")] == []
