"""The codec of trainable models: `{"variables": {...}}` as ever, and tables of rows.

Runners use it too, so it imports nothing that their environments may lack.
"""

from __future__ import annotations

from typing import Any

from modelsync.models import results
from modelsync.models.tables import bodies
from modelsync.models.tables.table import Table
from modelsync.protocols import json_body

WANTED = (
    'send {"variables": {...}}, {"x": [[...], ...]}, {"data": {column: [...]}} or {"data": [...]}'
)


def _table(document: dict[str, Any]) -> Table:
    """Return the table of a body. Raises MalformedBody, and VariablesInvalid for what is none."""
    if not bodies.holds_table(document):
        raise json_body.without_variables(document, WANTED)
    return bodies.prediction(document)


class TableCodec:
    """Decodes `variables`, or a `Table`; encodes as the native codec does."""

    decode = staticmethod(json_body.parser(WANTED, _table))
    decode_exactly = staticmethod(json_body.exact_parser(WANTED, _table))
    encode = staticmethod(results.dump)


TABLES = TableCodec()
