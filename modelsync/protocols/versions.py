"""Which codec the requests of a model have, and which version of it they name."""

from __future__ import annotations

import orjson

from modelsync.inference.codec import Codec
from modelsync.models.types import ModelSpec
from modelsync.protocols.native import NATIVE
from modelsync.protocols.tables import TABLES


def codec_of(spec: ModelSpec) -> Codec:
    """Return the codec of a model's requests: a trained one takes tables, too."""
    return TABLES if spec.trainable else NATIVE


def named_version(body: bytes) -> str:
    """Return the version that the `key` of a body names; empty if it names none.

    A malformed body names none: the codec says what is wrong with it.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    key = found.get("key") if isinstance(found, dict) else None
    return str(key) if isinstance(key, str | int) and not isinstance(key, bool) else ""
