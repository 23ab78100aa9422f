"""The libraries that read and check training data: a slim installation goes without them."""

from __future__ import annotations

from importlib.util import find_spec

from modelsync.errors import DataInvalid

_NEEDED = ("numpy", "pyarrow", "pandera", "narwhals")


def require() -> None:
    """Raise DataInvalid where they are not installed; it says what to install."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise DataInvalid(
            f"this service reads and checks no training data without {', '.join(missing)}: "
            "install modelsync[data] (for an image, name numpy, pyarrow and pandera[pyarrow] in "
            "requirements-models.txt), or send x and y to a model without schema.yml"
        )
