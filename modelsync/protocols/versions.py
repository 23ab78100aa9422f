"""Which codec the requests of a model have, and which version of it they name."""

from __future__ import annotations

import orjson

from modelsync.inference.codec import Codec
from modelsync.models.tables.bodies import KEYS
from modelsync.models.types import ModelSpec
from modelsync.protocols.native import NATIVE
from modelsync.protocols.tables import TABLES


def codec_of(spec: ModelSpec) -> Codec:
    """Return the codec of a model's requests: trained ones and artefacts take tables, too."""
    return TABLES if spec.takes_tables else NATIVE


def named_version(body: bytes) -> str:
    """Return the version that the `key` of a body names; empty if it names none.

    A malformed body names none: the codec says what is wrong with it.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(found, dict):
        return ""
    keys = (found.get(name) for name in KEYS)
    return next((str(key) for key in keys if key and type(key) in (str, int)), "")
