"""Aliases are checked before the service starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync import settings
from modelsync.errors import SettingsError
from modelsync.settings.aliases import Alias
from tests.command import modelsync

pytestmark = pytest.mark.training


@pytest.mark.parametrize(
    ("aliases", "says"),
    [
        ("/models/Iris=Iris:predict", "is a URL of the service itself"),
        ("/readyz=Iris:predict", "is a URL of the service itself"),
        ("/a=Iris:predict,/a=Iris:train", "twice"),
        ("/a=Iris:guess", "must be one of predict, train, status, download"),
        ("a=Iris:train", "must be a list such as"),
        ("//=Iris:train", "must be a list such as"),
        ("=Iris:train", "must be a list such as"),
        ("/a", "must be a list such as"),
        ("/a?b=Iris:train", "must be a list such as"),
    ],
)
def test_a_wrong_alias_ends_the_start(tmp_path: Path, aliases: str, says: str) -> None:
    """The exit code is 2, and the message says what is wrong."""
    (tmp_path / "models_serve").mkdir()
    done = modelsync("serve", cwd=tmp_path, MODELSYNC_ALIASES=aliases, MODELSYNC_PORT="0")
    assert done.returncode == 2
    assert "MODELSYNC_ALIASES" in done.stderr
    assert says in done.stderr


def test_a_list_of_aliases() -> None:
    """Blanks and a slash at the end do not matter; a model's name may come later."""
    found = settings.load(
        {"MODELSYNC_ALIASES": " /a/b=Iris:train, /c/=Nobody:predict, /=Iris:predict,"}
    )
    assert found.training.aliases == (
        Alias("/a/b", "Iris", "train"),
        Alias("/c", "Nobody", "predict"),
        Alias("/", "Iris", "predict"),
    )
    assert settings.load({}).training.aliases == ()
    with pytest.raises(SettingsError):
        settings.load({"MODELSYNC_ALIASES": "/a=:train"})
