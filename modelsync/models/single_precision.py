"""Numbers of 32 bits as JSON: the shortest digits that mean the same number, as orjson writes them.

`np.float32(0.1)` is 0.1 in JSON. As a Python float it would be 0.10000000149011612, which are
digits that nobody has computed; each way in which a result is written goes through here.
"""

from __future__ import annotations

import struct
from typing import Any

from modelsync import json_text

_SMALL = frozenset({"float32", "float16", "torch.float32", "torch.float16"})
"""The names of these types in numpy, pandas and PyTorch."""


def is_small(dtype: object) -> bool:
    """Return whether a type of numpy, pandas or PyTorch is one of these."""
    return str(dtype) in _SMALL


def is_single(value: Any) -> bool:
    """Return whether a scalar, array or Series holds floating-point numbers of at most 32 bits."""
    return is_small(getattr(value, "dtype", ""))


def listed(values: Any) -> Any:
    """Return a scalar as a float, an array as a nested list of floats; what is not finite is None.

    Raises TypeError for what numpy cannot make an array of.
    """
    import numpy as np

    if hasattr(values, "detach"):  # of PyTorch, which may know another numpy or none
        values = np.array(values.tolist(), dtype=np.float32)
    array = np.ascontiguousarray(values, dtype=np.float32)
    text = json_text.dumps(array, _digits, json_text.OPT_SERIALIZE_NUMPY)
    found = json_text.loads(text)
    return found if np.ndim(values) else found[0]


def _digits(array: Any) -> Any:
    """Return what the encoder of the standard library writes as orjson does."""
    return array.astype("U").astype("float64").tolist()


def is_same(one: float, other: float) -> bool:
    """Return whether one number has 32 bits, and the other is what `listed` gives of it."""
    return other == _shortest(one) or one == _shortest(other)


def _shortest(value: float) -> float | None:
    """Return the shortest digits that mean the same number of 32 bits; None of other numbers."""
    try:
        packed = struct.pack("f", value)
    except OverflowError:
        return None
    if struct.unpack("f", packed)[0] != value:
        return None
    rounded = (float(f"{value:.{digits}g}") for digits in range(1, 10))
    return next((one for one in rounded if _is_packed(one, packed)), None)


def _is_packed(value: float, packed: bytes) -> bool:
    try:
        return struct.pack("f", value) == packed
    except OverflowError:
        return False
