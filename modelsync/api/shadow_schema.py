"""What is told of shadow requests, as OpenAPI has it."""

from __future__ import annotations

from typing import Any

from modelsync.monitoring.shadow.record import RESULTS

_MEANINGS = (
    "The candidate answered the same: numbers may differ by rounding",
    "It answered something else",
    "It gave no answer that could be compared, as it was away, late, busy or refused the token",
    "It was not asked, because too many waited",
)

_TEXT = {"type": ["string", "null"]}

SCHEMAS: dict[str, dict[str, Any]] = {
    "modelsync.Shadow": {
        "type": "object",
        "description": "What has come of the copies of a model's predictions to a candidate",
        "properties": {
            "rate": {"type": "number", "description": "Share that is copied; 0: none is"},
            "candidate": {**_TEXT, "description": "Its URL, shown to admin tokens"},
            "since": {**_TEXT, "description": "When counting began"},
            "requests": {
                "type": "object",
                "properties": {
                    result: {"type": "integer", "description": meaning}
                    for result, meaning in zip(RESULTS, _MEANINGS, strict=True)
                },
                "required": list(RESULTS),
            },
            "seconds": {
                "type": ["number", "null"],
                "description": "Mean time of the candidate's answers",
            },
            "failure": {**_TEXT, "description": "Why the last one failed that did"},
            "differences": {
                "type": ["array", "null"],
                "description": "The last ones, newest first; shown to admin tokens",
                "items": {"$ref": "#/components/schemas/modelsync.ShadowDifference"},
            },
        },
        "required": [
            "rate", "candidate", "since", "requests", "seconds", "failure", "differences",
        ],
    },
    "modelsync.ShadowDifference": {
        "type": "object",
        "properties": {
            "time": {"type": "string"},
            "request_id": {"type": "string"},
            "what": {"type": "string", "description": "Where the answers differ, and how"},
            "status": {"type": "integer"},
            "candidate_status": {"type": "integer"},
            "candidate_release": {"type": "string"},
            "candidate_version": {"type": "string"},
            "request": {"description": "Without what is masked; null if it is large"},
            "answer": {"description": "The same of the answer"},
            "candidate_answer": {"description": "The same of the candidate's"},
        },
        "required": ["time", "request_id", "what", "status", "candidate_status"],
    },
}  # fmt: skip
"""By the name of the component."""
