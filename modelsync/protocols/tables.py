"""A stand-in for the codec of tables."""

from __future__ import annotations

from modelsync.models import results
from modelsync.protocols import json_body


class TableCodec:
    """The codec of the native protocol."""

    decode = staticmethod(json_body.parse)
    encode = staticmethod(results.dump)


TABLES = TableCodec()
