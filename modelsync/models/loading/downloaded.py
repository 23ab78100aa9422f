"""Loads a version that was downloaded, outside of the service: `GET .../download` is its file,
`GET .../versions/<v>` its metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.discovery import folders
from modelsync.models.discovery.work_tree import LocalRepository
from modelsync.models.loading import loader
from modelsync.models.serialization import from_json
from modelsync.models.types import Fault, LoadedModel
from modelsync.models.versions import FittedVersion


def load(folder: str | Path, file: str | Path, metadata: Mapping[str, Any]) -> LoadedModel:
    """Load the model of a folder with a version of it, as the service does.

    The file is compared with the SHA-256 of its metadata first. `call` of the result takes
    variables, its instance has what `fit` returned as its `model`. Raises ModelBroken.
    """
    path = Path(folder).absolute()
    repository = LocalRepository.of(path.parent)
    found = folders.discover(path.parent, subdir=repository.subdir, shared=repository.in_place())
    spec = next((one for one in found if one.name == path.name), None)
    if spec is None:
        raise ModelBroken(Fault("load", f"{path.name} is no model folder"))
    values = {**metadata, "model": path.name, "file": Path(file).absolute()}
    return loader.load(spec, fitted=from_json(FittedVersion, values))
