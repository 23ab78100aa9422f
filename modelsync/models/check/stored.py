"""Loads models in the check as they are served: with their current fitted versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelsync.models.loading import loader
from modelsync.models.serialization import from_json
from modelsync.models.types import LoadedModel, ModelSpec
from modelsync.models.versions import FittedVersion

_versions: dict[str, FittedVersion] = {}


def know(versions: Mapping[str, Any]) -> None:
    """Keep the fitted versions of this check, by model, as JSON has them."""
    _versions.update({name: from_json(FittedVersion, one) for name, one in versions.items()})


def load(spec: ModelSpec, *, alone: bool = False) -> LoadedModel:
    """Load a model with its fitted version, if it has one. Raises ModelBroken."""
    return loader.load(spec, alone=alone, fitted=_versions.get(spec.name))
