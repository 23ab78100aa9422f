"""Versions, labels and which one is current, the same in SQLite and PostgreSQL."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest

from modelsync.errors import UnknownVersion, VersionConflict
from modelsync.store import Store
from modelsync.store.catalog import Catalog
from modelsync.store.records import ModelRecord
from tests.fixtures.fits import OWNER, artefact, ask, fit, in_processes, run


def test_a_version_is_found_by_label_key_or_number(store: Store) -> None:
    """In this order; a key means its newest version."""
    catalog = store.catalog
    for key in ("weekly", "weekly", "monthly", "v1"):
        fit(store, key=key)
    catalog.set_label("Churn", "stable", 2)
    catalog.set_label("Churn", "monthly", 1)
    found = {
        name: catalog.version("Churn", name).number
        for name in ("stable", "monthly", "weekly", "v1", "1", "v3", "3")
    }
    assert found == {
        "stable": 2, "monthly": 1, "weekly": 2, "v1": 4, "1": 1, "v3": 3, "3": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    "name", ["nope", "0", "9", "v", "", "-1", "1.0", "99999999999999999999", "²", "v99999999999"]
)
def test_an_unknown_version_is_answered_with_those_that_exist(store: Store, name: str) -> None:
    """Whatever is asked for."""
    fit(store, key="weekly")
    store.catalog.set_label("Churn", "stable", 1)
    with pytest.raises(UnknownVersion, match=r"it has 1 \(weekly\); labels: stable$"):
        store.catalog.version("Churn", name)


def test_a_model_without_versions_has_none(catalog: Catalog) -> None:
    """A model that was never fitted is no error until a version is asked for."""
    assert catalog.model("Churn") == ModelRecord("Churn", None)
    assert catalog.models() == {}
    assert catalog.delete_all("Churn") == 0
    ask(catalog)
    assert catalog.models() == {"Churn": ModelRecord("Churn", None)}
    for call in (
        lambda: catalog.version("Churn", "1"),
        lambda: catalog.promote("Churn", 1),
        lambda: catalog.set_label("Churn", "stable", 1),
        lambda: catalog.delete("Churn", 1),
    ):
        with pytest.raises(UnknownVersion, match="it has none yet"):
            call()


def test_many_versions_are_not_all_named(store: Store) -> None:
    """A message stays short."""
    for _ in range(12):
        fit(store)
    with pytest.raises(UnknownVersion, match=r"it has 12 \(k\), .*, 3 \(k\) and older ones$"):
        store.catalog.version("Churn", "nope")


def test_the_catalog_lists_all_models(store: Store) -> None:
    """With their versions, the oldest first, which is current, and labels."""
    catalog = store.catalog
    first, second, other = fit(store), fit(store), fit(store, "Iris")
    catalog.set_label("Churn", "stable", 1)
    catalog.promote("Churn", 1)
    assert catalog.models() == {
        "Churn": ModelRecord("Churn", 1, (first, second), {"stable": 1}),
        "Iris": ModelRecord("Iris", 1, (other,)),
    }
    assert catalog.model("Iris") == catalog.models()["Iris"]


def test_a_rollback_goes_back_step_by_step(store: Store) -> None:
    """To the version before, of those that still exist, and never forth again."""
    catalog = store.catalog
    for _ in range(4):
        fit(store)
    catalog.promote("Churn", 4)  # it is already: no step
    catalog.delete("Churn", 3)
    assert catalog.rollback("Churn").number == 2
    catalog.promote("Churn", 4)
    catalog.promote("Churn", 1)
    steps = [catalog.rollback("Churn").number for _ in range(3)]
    assert steps == [4, 2, 1]
    with pytest.raises(VersionConflict, match="no version of Churn was current before"):
        catalog.rollback("Churn")
    assert catalog.model("Churn").current == 1


def test_the_version_in_use_is_deleted_by_force_only(store: Store) -> None:
    """Then none is in use; a rollback takes the one before."""
    catalog = store.catalog
    fit(store)
    fit(store)
    with pytest.raises(VersionConflict, match="version 2 of Churn is in use"):
        catalog.delete("Churn", 2)
    catalog.delete("Churn", 2, force=True)
    assert catalog.model("Churn").current is None
    assert catalog.rollback("Churn").number == 1


def test_all_versions_can_be_deleted(store: Store) -> None:
    """Their numbers are not given again, and those of other models stay."""
    catalog = store.catalog
    fit(store, "Iris")
    fit(store)
    fit(store)
    with pytest.raises(VersionConflict, match="in use"):
        catalog.delete_all("Churn")
    assert catalog.delete_all("Churn", force=True) == 2
    assert catalog.model("Churn") == ModelRecord("Churn", None)
    assert fit(store).number == catalog.model("Churn").current == 3
    assert catalog.model("Iris").current == 1


def test_a_label_names_one_version(store: Store) -> None:
    """It moves, goes with its version, and another model has labels of its own."""
    catalog = store.catalog
    fit(store)
    fit(store)
    fit(store, "Iris")
    catalog.set_label("Churn", "canary", 1)
    catalog.set_label("Churn", "canary", 2, origin="git")
    catalog.set_label("Iris", "canary", 1)
    assert catalog.model("Churn").labels == {"canary": 2}
    catalog.delete("Churn", 2, force=True)
    assert catalog.model("Churn").labels == {}
    catalog.remove_label("Churn", "canary")
    assert catalog.model("Iris").labels == {"canary": 1}
    catalog.remove_label("Iris", "canary")
    assert catalog.model("Iris").labels == {}


def test_the_labels_of_git_are_replaced_together(store: Store) -> None:
    """Those that calls have given stay; a version that is gone gets none."""
    catalog = store.catalog
    fit(store)
    fit(store)
    catalog.set_label("Churn", "stable", 1)
    catalog.replace_labels("Churn", {"stable": 2, "v1": 1, "gone": 9}, origin="git")
    assert catalog.model("Churn").labels == {"stable": 1, "v1": 1}
    revision = catalog.revision()
    catalog.replace_labels("Churn", {"v1": 1}, origin="git")
    assert catalog.revision() == revision
    catalog.replace_labels("Churn", {"v2": 2}, origin="git")
    assert catalog.model("Churn").labels == {"stable": 1, "v2": 2}
    catalog.replace_labels("Churn", {}, origin="git")
    assert catalog.model("Churn").labels == {"stable": 1}


def test_the_revision_grows_with_what_serves(store: Store) -> None:
    """And with nothing else: it is what every process of every replica looks at."""
    catalog = store.catalog
    fit(store)
    job = run(catalog, ask(catalog))
    before = catalog.revision()
    catalog.heartbeat(job.id, OWNER, progress=0.5)
    catalog.log(job.id, "x")
    ask(catalog)
    catalog.promote("Churn", 1)
    assert catalog.revision() == before
    changes = (
        lambda: catalog.finish(job.id, OWNER, artefact(store), promote=False),
        lambda: catalog.promote("Churn", 2),
        lambda: catalog.rollback("Churn"),
        lambda: catalog.set_label("Churn", "stable", 1),
        lambda: catalog.remove_label("Churn", "stable"),
        lambda: catalog.delete("Churn", 2),
        lambda: catalog.delete_all("Churn", force=True),
    )
    for change in changes:
        change()
        assert catalog.revision() > before
        before = catalog.revision()


def test_promotions_at_once_leave_one_current_version(store: Store) -> None:
    """From many processes, with rollbacks between them."""
    for _ in range(4):
        fit(store)

    def promote(index: int) -> None:
        for step in range(5):
            store.catalog.promote("Churn", 1 + (index + step) % 4)
            if step % 3 == 0:
                store.catalog.rollback("Churn")

    in_processes(4, promote)
    assert store.catalog.model("Churn").current in {1, 2, 3, 4}
    seen = [store.catalog.model("Churn").current]
    with suppress(VersionConflict):
        while len(seen) < 100:
            seen.append(store.catalog.rollback("Churn").number)
    assert len(seen) < 100
    assert all(one != following for one, following in pairwise(seen))


@pytest.mark.parametrize(
    ("follows", "current", "parent"),
    [("key", 3, 2), ("current", 2, 2), ("current", 1, 1), ("current", 3, 1), ("", 2, 1)],
)
def test_the_parent_of_an_update_is_chosen_when_it_begins(
    store: Store, follows: str, current: int, parent: int
) -> None:
    """Version 2 has the key of 1, 3 another one; the update was asked for when 1 was the newest."""
    fit(store, key="weekly")
    others = [ask(store.catalog, key=key) for key in ("weekly", "other")]
    options = {"follows": follows}
    update = ask(store.catalog, key="weekly", parent=1, options=options)
    for job in others:
        store.catalog.finish(job.id, run(store.catalog, job).owner, artefact(store))
    store.catalog.promote("Churn", current)
    assert run(store.catalog, update).asked.parent == parent
