"""skops: estimators without the power to run code; only types that skops trusts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.serializers.serializer import Owner, Serializer
from modelsync.models.types import Fault


def _refuses(obj: Any, owner: Owner) -> str:
    """Return which types skops does not trust, or what it cannot write."""
    import skops.io

    try:
        untrusted = skops.io.get_untrusted_types(data=skops.io.dumps(obj))
    except Exception as error:  # noqa: BLE001  of any type, as the object has any
        return f"skops cannot write it: {type(error).__name__}: {error}"
    return f"skops does not trust its types {', '.join(untrusted)}" if untrusted else ""


def _dump(obj: Any, path: Path, owner: Owner) -> None:
    import skops.io

    skops.io.dump(obj, path)


def _load(path: Path, owner: Owner, mapped: bool) -> Any:
    import skops.io

    if untrusted := skops.io.get_untrusted_types(file=path):
        message = f"the skops file holds types that skops does not trust: {', '.join(untrusted)}"
        raise ModelBroken(Fault("load", message, hint="store it as cloudpickle or joblib"))
    return skops.io.load(path, trusted=[])


SERIALIZER = Serializer("skops", ".skops", {"skops": "skops"}, _refuses, _dump, _load)
