"""JSON schemas of types by pydantic 2, also of types that it cannot describe whole.

It is imported with the first type that is described, and with pydantic: most models need none.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from modelsync.models.binding.typehints import Schema


def described(
    adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"], *, by_alias: bool
) -> Schema | None:
    """Return the JSON schema of what the adapter validates, or of what is written of it.

    A part that JSON schema has no words for, such as an array of numpy, may be anything. None if
    the code of a type fails.
    """
    try:
        return adapter.json_schema(by_alias=by_alias, schema_generator=_Schemas, mode=mode)
    except Exception:  # noqa: BLE001  of a model: `__get_pydantic_json_schema__`
        return None


class _Schemas(GenerateJsonSchema):
    """Describes results as `results` writes them, and leaves out what cannot be described."""

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:
        return {}

    def emit_warning(self, kind: Any, detail: str) -> None:
        """Say nothing: the log of the service is not for defaults that JSON cannot hold."""

    def decimal_schema(self, schema: Any) -> Schema:
        return {"type": "number"} if self._writes else super().decimal_schema(schema)

    def timedelta_schema(self, schema: Any) -> Schema:
        return {"type": "number"} if self._writes else super().timedelta_schema(schema)

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self._writes and field["type"] != "typed-dict-field":  # a default is written, too
            return not field.get("serialization_exclude")
        return super().field_is_required(field, total)

    @property
    def _writes(self) -> bool:
        mode: JsonSchemaMode = self.mode
        return mode == "serialization"
