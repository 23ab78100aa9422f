"""Git tags that become labels of versions in the catalog."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelsync.store import Store
from modelsync.training.labels import GitLabels
from tests.training.storing import fitted, open_store

ONE, TWO, THREE = "1" * 40, "2" * 40, "3" * 40


class Replica:
    """A state directory beside the one catalog."""

    def __init__(self, opened: Store, home: Path) -> None:
        home.mkdir(exist_ok=True)
        self.home = home
        self.labels = GitLabels(opened.catalog, home)

    def sync(self, tags: Any) -> None:
        """What a sync would write: label -> (commit, code), of the model `Model` unless named."""
        models = tags if all(isinstance(one, dict) for one in tags.values()) else {"Model": tags}
        (self.home / "labels.json").write_text(
            json.dumps({
                model: {label: {"commit": commit, "code": code}
                        for label, (commit, code) in labels.items()}
                for model, labels in models.items()
            })
        )  # fmt: skip
        self.labels.step(0)


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def replica(opened: Store, tmp_path: Path) -> Replica:
    return Replica(opened, tmp_path / "home")


def trained(opened: Store, folder: Path, commit: str, code: str, key: str, **more: Any) -> int:
    return fitted(opened, folder, key.encode(), commit=commit, code=code, key=key, **more).number


def labels_of(opened: Store, model: str = "Model") -> dict[str, int]:
    return dict(opened.catalog.model(model).labels)


def test_the_newest_version_of_the_commit(opened: Store, replica: Replica, tmp_path: Path) -> None:
    """Of several that were trained from the tagged commit; those of others do not count."""
    trained(opened, tmp_path, ONE, "a", "first")
    second = trained(opened, tmp_path, ONE, "a", "second")
    trained(opened, tmp_path, TWO, "b", "third")
    replica.sync({"stable": (ONE, "a")})
    assert labels_of(opened) == {"stable": second}
    assert opened.catalog.version("Model", "stable").number == second


def test_else_one_of_the_same_code(opened: Store, replica: Replica, tmp_path: Path) -> None:
    """A commit that did not change the model's folder stands for those that did not either."""
    number = trained(opened, tmp_path, ONE, "a", "first")
    replica.sync({"stable": (THREE, "a"), "v3": (THREE, "b"), "v4": (THREE, ""), "v5": (TWO, None)})
    assert labels_of(opened) == {"stable": number}


def test_a_label_waits_for_its_version(opened: Store, replica: Replica, tmp_path: Path) -> None:
    """Tagged before it is trained: the version gets the label when it is there."""
    trained(opened, tmp_path, ONE, "a", "first")
    replica.sync({"v3": (TWO, "b")})
    assert labels_of(opened) == {}
    number = trained(opened, tmp_path, TWO, "b", "second")
    replica.labels.step(1)
    assert labels_of(opened) == {"v3": number}


def test_tags_that_move_and_go(opened: Store, replica: Replica, tmp_path: Path) -> None:
    """The label follows its tag, and goes with it."""
    first = trained(opened, tmp_path, ONE, "a", "first")
    second = trained(opened, tmp_path, TWO, "b", "second")
    replica.sync({"stable": (ONE, "a"), "canary": (TWO, "b")})
    assert labels_of(opened) == {"stable": first, "canary": second}
    replica.sync({"stable": (TWO, "b")})
    assert labels_of(opened) == {"stable": second}
    replica.sync({"Other": {}})
    assert labels_of(opened) == {}


def test_labels_of_people_are_left_alone(opened: Store, replica: Replica, tmp_path: Path) -> None:
    """One that was set by REST is neither moved nor removed by a tag of the same name."""
    first = trained(opened, tmp_path, ONE, "a", "first")
    trained(opened, tmp_path, TWO, "b", "second")
    opened.catalog.set_label("Model", "stable", first)
    replica.sync({"stable": (TWO, "b"), "v2": (TWO, "b")})
    assert labels_of(opened)["stable"] == first
    replica.sync({"Model": {}})
    assert labels_of(opened) == {"stable": first}


def test_unknown_models_are_ignored(opened: Store, replica: Replica, tmp_path: Path) -> None:
    """A tag of a model that was never trained makes nothing."""
    trained(opened, tmp_path, ONE, "a", "first")
    replica.sync({"Nobody": {"stable": (ONE, "a")}})
    assert set(opened.catalog.models()) == {"Model"}


def test_nothing_is_written_without_a_change(
    opened: Store, replica: Replica, tmp_path: Path
) -> None:
    """The revision stays, so no replica reads everything again."""
    trained(opened, tmp_path, ONE, "a", "first")
    replica.sync({"stable": (ONE, "a")})
    before = opened.catalog.revision()
    replica.sync({"stable": (ONE, "a")})
    GitLabels(opened.catalog, replica.home).step(0)  # after a restart
    assert opened.catalog.revision() == before


def test_replicas_that_sync_one_after_another(
    opened: Store, replica: Replica, tmp_path: Path
) -> None:
    """One that has not yet seen a tag move does not move the label back."""
    first = trained(opened, tmp_path, ONE, "a", "first")
    second = trained(opened, tmp_path, TWO, "b", "second")
    late = Replica(opened, tmp_path / "late")
    for one in (replica, late):
        one.sync({"stable": (ONE, "a")})
    assert labels_of(opened) == {"stable": first}
    replica.sync({"stable": (TWO, "b")})
    for turn in range(3):
        late.labels.step(turn)
        replica.labels.step(turn)
        assert labels_of(opened) == {"stable": second}
    late.sync({"stable": (TWO, "b")})
    assert labels_of(opened) == {"stable": second}


def test_without_a_sync_nothing_happens(opened: Store, replica: Replica, tmp_path: Path) -> None:
    """A service of a folder, or of a pinned commit, removes no label that another has given."""
    number = trained(opened, tmp_path, ONE, "a", "first")
    opened.catalog.replace_labels("Model", {"stable": number}, origin="git")
    replica.labels.step(0)
    assert labels_of(opened) == {"stable": number}
