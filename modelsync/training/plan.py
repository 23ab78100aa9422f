"""How a model is trained by itself, by what its folder says."""

from __future__ import annotations

from modelsync.models.types import ModelSpec

CHECKED = "checked"
"""The option of a job that has the fingerprint of data which has been checked by its schema."""


def table_of(spec: ModelSpec) -> str:
    """Return the table that the days fill; empty if nothing fills one."""
    fills = spec.plan.incoming or "fill" in spec.methods
    return (spec.plan.table or spec.name.lower().replace("-", "_")) if fills else ""


def sources_of(spec: ModelSpec) -> tuple[str, ...]:
    """Return the sources of the data, of which the first that is there counts; none if the model
    fetches its data itself, or has no source.
    """
    if "train" in spec.methods and not spec.plan.takes_rows:
        return ()
    if spec.plan.source:
        return spec.plan.source
    table = table_of(spec)
    return (table,) if table else ()


def target_of(spec: ModelSpec) -> tuple[str, ...]:
    """Return the columns that are y, as the class or `schema.yml` names them."""
    named = spec.schema.targets if spec.schema else ()
    return spec.plan.target or tuple(one.name for one in named)


def has_days(spec: ModelSpec) -> bool:
    """Whether each day has data of its own, so that one that failed must be caught up."""
    return bool(table_of(spec)) or any("{date}" in one for one in spec.plan.source)


def why_not(spec: ModelSpec) -> str:
    """Return why a model is not trained by itself; empty if it is."""
    if spec.fault:
        return f"its folder is broken: {spec.fault}"
    if not spec.trainable:
        return "it has neither fit nor train"
    if "train" in spec.methods and not spec.plan.takes_rows:
        return ""
    if not sources_of(spec):
        taker = "train(self, data)" if spec.plan.takes_rows else "fit"
        return f'its {taker} has no data: give the class source = "data/*.parquet", for example'
    return ""
