"""The part of a model's status that tells of its compiled form, as OpenAPI has it."""

from __future__ import annotations

from typing import Any

SCHEMAS: dict[str, dict[str, Any]] = {
    "modelsync.Status": {
        "type": "object",
        "properties": {
            "compiled": {
                "oneOf": [{"$ref": "#/components/schemas/modelsync.Compiled"}, {"type": "null"}]
            }
        },
    },
    "modelsync.Compiled": {
        "type": "object",
        "description": "What came of compiling the model's estimator, see docs/compiled.md",
        "properties": {
            "state": {"type": "string", "enum": ["compiled", "refused", "late", "off"]},
            "summary": {"type": "string", "description": "All of it in a line of words"},
            "reason": {"type": ["string", "null"], "description": "Why it is not compiled"},
            "backend": {"type": ["string", "null"], "description": "What computes"},
            "speedup": {
                "type": ["number", "null"],
                "description": "Processor time of the estimator for one row, divided by that of "
                "the compiled form",
            },
            "speedup_batch": {
                "type": ["number", "null"],
                "description": "The same for 16 rows in one call",
            },
            "rows": {"type": "integer", "description": "Rows whose answers were compared"},
            "max_difference": {
                "type": ["number", "null"],
                "description": "Largest relative difference of a number on these rows",
            },
            "difference": {
                "type": ["string", "null"],
                "description": "A row whose answers differ, and how",
            },
            "size": {"type": "integer", "description": "Bytes of the compiled form"},
            "estimator_size": {"type": "integer", "description": "Bytes of the estimator"},
            "seconds": {"type": "number", "description": "Time of compiling and comparing"},
        },
        "required": ["state", "summary"],
    },
}
"""By the name of the component."""
