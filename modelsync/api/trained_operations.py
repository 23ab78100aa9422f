"""Operation Objects of the calls that only models have which are fitted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelsync.api.components import Schema
from modelsync.api.operations import operation, success
from modelsync.api.resource import Context, PerModel
from modelsync.server.auth import Scope


def per_trained(
    context: Context,
    identity: str,
    summary: str,
    responses: dict[str, Schema] | None = None,
    *,
    problems: Iterable[str] = ("404", "503"),
    scope: Scope = "predict",
    **members: Any,
) -> PerModel:
    """One operation for each trained model; `{}` in the summary stands for its name.

    `responses` holds the successes by status code, by default one that the summary describes.
    """
    needs_token = scope != "predict" or context.predict_needs_token

    def describe(model: Any) -> dict[str, Any]:
        text = summary.format(model.name)
        found = responses or {"200": success(text)}
        return operation(
            f"{identity}_{model.name}",
            "training",
            text,
            found,
            problems=problems,
            needs_token=needs_token,
            **members,
        )

    return PerModel(describe, applies=lambda model: model.spec.trainable)
