"""Model folders to test with."""

from __future__ import annotations

import pickle
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest

from modelsync.models.discovery.folders import discover
from modelsync.models.isolation.model_package import ROOT
from modelsync.models.loading.loader import load, unload
from modelsync.models.types import LoadedModel, ModelSpec

Write = Callable[..., Path]
Find = Callable[[str], ModelSpec]
Load = Callable[..., LoadedModel]
Put = Callable[..., LoadedModel]


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
