"""Reads a model's examples: `examples/*.json`, each `{"variables": {...}, "response": {...}}`.

An example of a request that the model rejects is `{"variables": {...}, "status": 422}`: the check
alone uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from modelsync import json_text
from modelsync.errors import ModelBroken
from modelsync.models.convention import EXAMPLES
from modelsync.models.rejection import CLIENT_ERRORS
from modelsync.models.types import Example, Fault

SHAPE = (
    '{"variables": {...}, "response": {...}}, where the response may be left out, or '
    '{"variables": {...}, "status": 422} where the model rejects the request'
)


OF_PYTHON = {
    "NaN": "null",
    "Infinity": "null",
    "None": "null",
    "True": "true",
    "False": "false",
    "'": '"',
}
"""What Python writes and JSON does not have, and what to write for it."""


def read(folder: Path) -> tuple[Example, ...]:
    """Read the examples of a model's folder that are answered, sorted by file name.

    Raises ModelBroken (stage `example`), which names the file that is no example.
    """
    return tuple(one for one in _all(folder) if one.status is None)


def rejected(folder: Path) -> tuple[Example, ...]:
    """Read the examples that the model rejects; each has its `status`. Raises as `read`."""
    return tuple(one for one in _all(folder) if one.status is not None)


def _all(folder: Path) -> Iterator[Example]:
    for path in sorted((folder / EXAMPLES).glob("*.json")):
        yield _read(path, f"{EXAMPLES}/{path.name}")


def _read(path: Path, file: str) -> Example:
    content = _content(path, file)
    response = content.get("response")
    if not isinstance(response, dict | None):
        _refuse("its response is not an object", file)
    if unknown := content.keys() - {"variables", "response", "status"}:
        _refuse(f"unknown key {min(unknown)!r}", file)
    if (status := content.get("status")) is None:
        return Example(path.stem, content["variables"], response)
    if type(status) is not int or status not in CLIENT_ERRORS:
        _refuse("its status is not a number from 400 to 499", file)
    if response is not None:
        _refuse("has both a response and a status: a request is answered or rejected", file)
    return Example(path.stem, content["variables"], status=status)


def _content(path: Path, file: str) -> dict[str, Any]:
    try:
        content: Any = json_text.loads(path.read_bytes())
    except json_text.JSONDecodeError as error:
        _refuse(f"malformed JSON: {_reason(error)}", file, error.lineno)
    except OSError as error:
        _refuse(f"cannot be read: {error.strerror}", file)
    if not isinstance(content, dict) or not isinstance(content.get("variables"), dict):
        _refuse("holds no variables object", file)
    return content


def _reason(error: json_text.JSONDecodeError) -> str:
    """Return what is wrong with a text that is no JSON; where it is Python, what to write."""
    rest = error.doc[max(error.pos - 1, 0) :].lstrip("-+:,[{ \n")
    for word, instead in OF_PYTHON.items():
        if rest.startswith(word):
            return f"JSON has no {word}, write {instead}"
    return error.msg


def _refuse(message: str, file: str, line: int | None = None) -> NoReturn:
    raise ModelBroken(Fault("example", message, file, line, hint=f"an example is {SHAPE}"))
