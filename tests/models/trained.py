"""Fits models and stores what they have fitted, as a job does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelsync.models.loading import loader
from modelsync.models.serializers import registry
from modelsync.models.serializers.serializer import Owner
from modelsync.models.tables import bodies
from modelsync.models.training.trainable import Fitted, Trainable
from modelsync.models.types import LoadedModel, ModelSpec
from modelsync.models.versions import FittedVersion
from modelsync.protocols.tables import TABLES

FOREST = """
class Forest:
    def fit(self, x, y, **params):
        from sklearn.tree import DecisionTreeClassifier
        return DecisionTreeClassifier(random_state=0, **params).fit(x, y)
"""
FLOWERS = {
    "petal": [1.4, 1.3, 4.7, 4.5, 6.0, 5.1],
    "sepal": [5.1, 4.9, 7.0, 6.4, 6.3, 5.8],
}
KINDS = ["setosa", "setosa", "versicolor", "versicolor", "virginica", "virginica"]


def fitted(model: LoadedModel, body: Mapping[str, Any], **params: Any) -> Fitted:
    """What `fit` of a loaded model gives for the body of a request."""
    data = bodies.training(body)
    return Trainable(model).fit(data.x, data.y, params)


def store(
    model: LoadedModel, made: Fitted, folder: Path, wanted: str = "auto", number: int = 1
) -> FittedVersion:
    """Write what was fitted to a file, as a version."""
    owner = Owner(model.package, model.instance, made.inputs)
    serializer = registry.choose(made.model, Trainable(model).serializer or wanted, owner)
    file = folder / f"{model.name}-{number}{serializer.suffix}"
    libraries = registry.dump(serializer, made.model, file, owner)
    content = file.read_bytes()
    return FittedVersion(
        model.name, number, "key", serializer.name, hashlib.sha256(content).hexdigest(),
        len(content), file, made.inputs, libraries,
    )  # fmt: skip


def fit(
    spec: ModelSpec, body: Mapping[str, Any], folder: Path, *, wanted: str = "auto", **params: Any
) -> FittedVersion:
    """Load a model, fit it, store that as version 1, and unload it."""
    model = loader.load(spec)
    try:
        return store(model, fitted(model, body, **params), folder, wanted)
    finally:
        loader.unload(model)


def ask(model: LoadedModel, body: object) -> Any:
    """The answer to a request with this body, as JSON types."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(TABLES.encode(model.call(TABLES.decode(payload))))
