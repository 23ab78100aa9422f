"""What the models of a release answered to their examples in the check: `answers.json` beside
`release.json`.

A later check, which does not run an unchanged model alone again, compares with them whether it
still answers the same beside new models.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modelsync.files import as_json
from modelsync.models.types import CheckResult, ModelName

FILE = "answers.json"

MAX_BYTES = 64 * 1024
"""Bytes of a model's answers that are kept; longer ones are not compared."""

Answers = dict[ModelName, tuple[Any, ...]]

_log = logging.getLogger(__name__)


def write(folder: Path, results: Iterable[CheckResult]) -> None:
    """Write the answers into the folder of a release that is being built. Raises OSError."""
    kept: dict[str, Any] = {
        result.name: {"version": result.version, "answers": result.answers}
        for result in results
        if result.answers is not None and len(json.dumps(result.answers)) <= MAX_BYTES
    }
    (folder / FILE).write_bytes(as_json(kept))


def read(folder: Path, versions: Mapping[ModelName, str]) -> Answers:
    """Return the answers of the models in these versions; empty if there are none to be read."""
    try:
        found = json.loads((folder / FILE).read_bytes())
        return {
            ModelName(name): tuple(one["answers"])
            for name, one in found.items()
            if versions.get(ModelName(name)) == one["version"]
        }
    except FileNotFoundError:  # an earlier version of modelsync made the release
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("%s cannot be read: %s", FILE, error)
        return {}
