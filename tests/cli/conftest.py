"""A folder of models that the commands are tried on."""

from __future__ import annotations

from pathlib import Path

import pytest

GOOD = "class Good:\n    def transform_predict(self, a: int = 1):\n        return {'a': a}\n"
BAD = (
    "import json\nimport no_such_library\n\n"
    "class Bad:\n    def transform_predict(self):\n        return {}\n"
)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with a good model, one that lacks a library, and one whose source is no Python."""
    folder = tmp_path / "models_serve"
    for name, code in (("Good", GOOD), ("Bad", BAD), ("Ugly", "class Ugly:\n    def (\n")):
        (folder / name).mkdir(parents=True)
        (folder / name / "etls.py").write_text(code)
    return folder
