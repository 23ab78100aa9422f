"""`modelsync new`: a model folder from a template."""

from __future__ import annotations

from pathlib import Path

from tests.command import modelsync


def test_a_new_model_passes_its_check(tmp_path: Path) -> None:
    """`new` makes a folder that works as it is; a name that cannot be a route, or is taken, is
    refused.
    """
    assert modelsync("new", "Weather", cwd=tmp_path).returncode == 0
    assert (tmp_path / "models_serve" / "Weather" / "etls.py").is_file()
    done = modelsync("check", "models_serve/Weather", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("Weather", "all", "9lives", "a/b"):
        refused = modelsync("new", name, cwd=tmp_path)
        assert refused.returncode != 0
        assert len(refused.stderr.splitlines()) == 1
    assert modelsync("new", "Other", "--in", "elsewhere", cwd=tmp_path).returncode == 0
    assert (tmp_path / "elsewhere" / "Other" / "etls.py").is_file()
