"""What a fitting process is told, and what it says, come through JSON as they were."""

from __future__ import annotations

from pathlib import Path

from modelsync import json_text
from modelsync.fitting.messages import FitError, FitJob, FitResult
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import ModelName, ModelSpec, TreeHash
from modelsync.models.versions import Column, FittedVersion, TableSchema

SCHEMA = TableSchema(
    "frame",
    (Column("age", "float64", nullable=True), Column("kind", "category", categories=("a", "b"))),
    Column("y", "int64"),
)


def test_a_job_comes_through_json_as_it_was(tmp_path: Path) -> None:
    spec = ModelSpec(
        ModelName("Forest"), tmp_path, class_name="Forest", version=TreeHash("a" * 40),
        methods=("fit", "update"),
    )  # fmt: skip
    base = FittedVersion("Forest", 3, "k", "joblib", "b" * 64, 10, tmp_path / "f", SCHEMA)
    job = FitJob(spec, "update", 1, tmp_path, {"depth": 3}, target=("y", "z"), base=base)
    assert FitJob.from_json(json_text.loads(json_text.dumps(job.to_json()))) == job


def test_a_result_comes_through_json_as_it_was() -> None:
    made = FitResult("joblib", "artefact", "c" * 64, 10, SCHEMA, {"r2": 0.5}, {"numpy": "2.4"})
    failed = FitResult(error=FitError("fit", "ValueError", "no", "etls.py", 3))
    for result in (made, failed):
        assert from_json(FitResult, json_text.loads(json_text.dumps(to_json(result)))) == result
