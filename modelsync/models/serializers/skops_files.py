"""skops: estimators without the power to run code; only types that skops trusts, and those that the
model's class lists as `trusted_types`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.serializers.serializer import Owner, Serializer
from modelsync.models.types import Fault

_HINT = "list those that you trust in the class, as trusted_types"


def _refuses(obj: Any, owner: Owner) -> str:
    """Return which types skops does not trust, or what it cannot write."""
    import skops.io

    try:
        untrusted = _untrusted(skops.io.get_untrusted_types(data=skops.io.dumps(obj)), owner)
    except Exception as error:  # noqa: BLE001  of any type, as the object has any
        return f"skops cannot write it: {type(error).__name__}: {error}"
    return f"skops does not trust its types {', '.join(untrusted)}; {_HINT}" if untrusted else ""


def _untrusted(found: list[str], owner: Owner) -> list[str]:
    """Return those of the types that nobody trusts."""
    trusted = set(getattr(owner.instance, "trusted_types", ()))
    return [name for name in found if name not in trusted]


def _dump(obj: Any, path: Path, owner: Owner) -> None:
    import skops.io

    skops.io.dump(obj, path)


def _load(path: Path, owner: Owner, mapped: bool) -> Any:
    import skops.io

    found = skops.io.get_untrusted_types(file=path)
    if untrusted := _untrusted(found, owner):
        message = f"the skops file holds types that skops does not trust: {', '.join(untrusted)}"
        raise ModelBroken(Fault("load", message, hint=_HINT))
    return skops.io.load(path, trusted=found)


SERIALIZER = Serializer("skops", ".skops", {"skops": "skops"}, _refuses, _dump, _load)
