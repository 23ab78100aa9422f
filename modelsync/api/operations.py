"""Builds Operation Objects of OpenAPI 3.1; each view has its operation beside it.

Section 4.8.10 of the specification: https://spec.openapis.org/oas/v3.1.0#operation-object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from modelsync.api.components import Schema, reference
from modelsync.problems import JSON

Operation = dict[str, Any]
"""An Operation Object, ready to be written as JSON."""

Tag = Literal["models", "training", "service"]

TOKEN_PROBLEMS = ("401", "403")
"""Status codes of a missing or unknown token, and of one that lacks the scope."""


def operation(
    operation_id: str,
    tag: Tag,
    summary: str,
    responses: dict[str, Schema],
    *,
    problems: Iterable[str] = (),
    needs_token: bool = False,
    **members: Any,
) -> Operation:
    """One operation.

    `operation_id` is unique in the document, because client generators make a function of each.
    `responses` holds the successes by status code, `problems` the status codes of the failures. An
    operation that `needs_token` also lists TOKEN_PROBLEMS. `members` are further members of the
    Operation Object, such as `description` or `requestBody`.
    """
    codes = {*problems, *(TOKEN_PROBLEMS if needs_token else ())}
    failures = {code: reference("responses", f"Problem{code}") for code in sorted(codes)}
    return {
        "operationId": operation_id,
        "tags": [tag],
        "summary": summary,
        **members,
        "responses": {**responses, **failures},
        **({"security": [{"token": []}]} if needs_token else {}),
    }


def read(
    operation_id: str,
    summary: str,
    media_type: str = JSON,
    *,
    problems: Iterable[str] = (),
    needs_token: bool = False,
) -> Operation:
    """A GET of the service without parameters; the summary describes its response as well."""
    return operation(
        operation_id,
        "service",
        summary,
        {"200": success(summary, media_type)},
        problems=problems,
        needs_token=needs_token,
    )


def success(description: str, media_type: str = JSON, schema: Schema | None = None) -> Schema:
    """A Response Object whose body is a JSON object, of this schema, or text of another media
    type.
    """
    schema = schema or {"type": "object" if media_type == JSON else "string"}
    return {"description": description, "content": {media_type: {"schema": schema}}}


def query_parameter(name: str, schema: Schema, description: str) -> Schema:
    """An optional parameter of the query string."""
    return {"name": name, "in": "query", "schema": schema, "description": description}
