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
    """Return the version that the `key` of a body names, or one of the other `KEYS`; empty without.

    A malformed body names none: the codec says what is wrong with it.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(found, dict):
        return ""
    key = next((found[name] for name in KEYS if found.get(name)), None)
    return str(key) if isinstance(key, str | int) and not isinstance(key, bool) else ""
