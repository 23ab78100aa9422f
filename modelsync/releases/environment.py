"""The environment of a release: Python, the libraries, and the settings that decide its content."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform


def environment(*settings: object) -> str:
    """A digest of everything but the commit that decides the result of an update.

    Python and the installed libraries, because a model that is broken today may load in the next
    image; and the `settings` that an update depends on.
    """
    installed = sorted(
        f"{item.name}=={item.version}" for item in importlib.metadata.distributions()
    )
    return hashlib.sha256(
        "\n".join([platform.python_version(), *installed, *map(str, settings)]).encode()
    ).hexdigest()[:16]
