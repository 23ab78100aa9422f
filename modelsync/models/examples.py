"""Reads a model's examples: `examples/*.json`, each `{"variables": {...}, "response": {...}}`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from modelsync import json_text
from modelsync.errors import ModelBroken
from modelsync.models.convention import EXAMPLES
from modelsync.models.types import Example, Fault

SHAPE = '{"variables": {...}, "response": {...}}, where the response may be left out'


def read(folder: Path) -> tuple[Example, ...]:
    """Read the examples of a model's folder, sorted by file name.

    Raises ModelBroken (stage `example`), which names the file that is no example.
    """
    return tuple(
        _read(path, f"{EXAMPLES}/{path.name}")
        for path in sorted((folder / EXAMPLES).glob("*.json"))
    )


def _read(path: Path, file: str) -> Example:
    try:
        content: Any = json_text.loads(path.read_bytes())
    except json_text.JSONDecodeError as error:
        _refuse(f"malformed JSON: {error.msg}", file, error.lineno)
    except OSError as error:
        _refuse(f"cannot be read: {error.strerror}", file)
    if not isinstance(content, dict) or not isinstance(content.get("variables"), dict):
        _refuse("holds no variables object", file)
    response = content.get("response")
    if not isinstance(response, dict | None):
        _refuse("its response is not an object", file)
    if unknown := content.keys() - {"variables", "response"}:
        _refuse(f"unknown key {min(unknown)!r}", file)
    return Example(path.stem, content["variables"], response)


def _refuse(message: str, file: str, line: int | None = None) -> NoReturn:
    raise ModelBroken(Fault("example", message, file, line, hint=f"an example is {SHAPE}"))
