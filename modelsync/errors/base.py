"""The root of all expected errors."""

from __future__ import annotations

from typing import ClassVar


class ModelsyncError(Exception):
    """Base of all expected errors.

    `str()` is one line that a user can act on and that holds no secret.
    """

    reason: ClassVar[str] = "error"


class SettingsError(ModelsyncError):
    """A setting is missing, unknown or malformed; the process exits with code 2."""

    reason = "settings"
