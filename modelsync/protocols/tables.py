"""The codec of trainable models: `{"variables": {...}}` as ever, and tables of rows.

Runners use it too, so it imports nothing that their environments may lack.
"""

from __future__ import annotations

from typing import Any

from modelsync.models import results
from modelsync.models.tables import bodies
from modelsync.protocols import json_body

WANTED = (
    'send {"variables": {...}}, {"x": [[...], ...]}, {"data": {column: [...]}} or {"data": [...]}'
)

_VARIABLES = b'{"variables"'
"""How most bodies begin: then nothing else needs to be looked at."""


class TableCodec:
    """Decodes `variables`, or a `Table`; encodes as the native codec does."""

    @staticmethod
    def decode(payload: bytes, /) -> dict[str, Any]:
        """Return the variables of a request, or its table.

        Raises MalformedBody, and VariablesInvalid for what is no table.
        """
        if payload.startswith(_VARIABLES):
            return json_body.parse(payload)
        document = json_body.parse_object(payload, WANTED)
        if bodies.holds_table(document):
            return bodies.prediction(document)
        return json_body.variables_of(document, WANTED)

    encode = staticmethod(results.dump)


TABLES = TableCodec()
