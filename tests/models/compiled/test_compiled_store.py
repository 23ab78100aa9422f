"""The store of compiled forms: whole entries or none, shared by state directories, swept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelsync.models.compilation import Compilation
from modelsync.models.compiled.compiled_store import CompiledStore, key_of
from modelsync.models.types import ModelName, ModelSpec, TreeHash

KEY, OTHER, NEW = "a" * 64, "b" * 64, "c" * 64
DONE = Compilation("compiled", backend="onnxruntime (double)", speedup=8.0)


@pytest.fixture
def forms(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    (folder / "artefact").mkdir(parents=True)
    (folder / "artefact" / "model.onnx").write_bytes(b"graph")
    return folder


def test_an_entry_is_taken_as_it_was_added(tmp_path: Path, forms: Path) -> None:
    store = CompiledStore(tmp_path / "store")
    store.add(KEY, forms, DONE, share=True)
    assert store.has(KEY)
    assert store.take(KEY, tmp_path / "release" / "Net") == DONE
    assert (tmp_path / "release/Net/artefact/model.onnx").read_bytes() == b"graph"
    assert store.take(OTHER, tmp_path / "other") is None
    assert not (tmp_path / "other").exists()


def test_a_refusal_has_no_forms(tmp_path: Path) -> None:
    store = CompiledStore(tmp_path / "store")
    store.add(KEY, None, Compilation("refused", "no converter"), share=True)
    assert store.take(KEY, tmp_path / "release") == Compilation("refused", "no converter")
    assert not (tmp_path / "release").exists()


@pytest.mark.parametrize("name", ["forms/artefact/model.onnx", "compilation.json"])
@pytest.mark.parametrize("content", [b"grapH", b"", None])
def test_a_damaged_entry_counts_as_none_and_is_removed(
    tmp_path: Path, forms: Path, name: str, content: bytes | None
) -> None:
    """What a disk has altered must not answer."""
    store = CompiledStore(tmp_path / "store")
    store.add(KEY, forms, DONE, share=True)
    file = tmp_path / "store/forms" / KEY / name
    file.unlink() if content is None else file.write_bytes(content)
    assert store.take(KEY, tmp_path / "release") is None
    assert not (tmp_path / "release").exists()
    store.add(KEY, forms, DONE, share=True)
    assert store.take(KEY, tmp_path / "release") == DONE


def test_a_copy_that_fails_leaves_no_part(tmp_path: Path, forms: Path) -> None:
    store = CompiledStore(tmp_path / "store")
    store.add(KEY, forms, DONE, share=False)
    *_, last = sorted(one.relative_to(forms) for one in forms.rglob("*") if one.is_file())
    (tmp_path / "taken" / last).mkdir(parents=True)  # where the file belongs
    with pytest.raises(OSError, match="directory"):
        store.take(KEY, tmp_path / "taken")
    assert not (tmp_path / "taken").exists()
    assert store.take(KEY, tmp_path / "again") == DONE


def test_a_path_out_of_the_entry_is_not_followed(tmp_path: Path, forms: Path) -> None:
    store = CompiledStore(tmp_path / "store")
    store.add(KEY, forms, DONE, share=True)
    about = tmp_path / "store/forms" / KEY / "compilation.json"
    about.write_text(about.read_text().replace("artefact/model.onnx", "../../../made/artefact/x"))
    assert store.take(KEY, tmp_path / "release") is None


def test_another_state_directory_takes_it_from_the_shared_store(
    tmp_path: Path, forms: Path
) -> None:
    """And has it as its own then, also when that volume is away."""
    shared = tmp_path / "shared"
    CompiledStore(tmp_path / "one", shared).add(KEY, forms, DONE, share=True)
    CompiledStore(tmp_path / "one", shared).add(OTHER, None, DONE, share=False)
    two = CompiledStore(tmp_path / "two", shared)
    assert two.has(KEY)
    assert two.take(KEY, tmp_path / "release") == DONE
    assert not two.has(OTHER)
    assert CompiledStore(tmp_path / "two").take(KEY, tmp_path / "again") == DONE


def test_a_shared_store_that_cannot_be_used_fails_nothing(tmp_path: Path, forms: Path) -> None:
    (tmp_path / "shared").write_text("a file in its place")
    store = CompiledStore(tmp_path / "store", tmp_path / "shared")
    store.add(KEY, forms, DONE, share=True)
    assert store.take(KEY, tmp_path / "release") == DONE
    assert store.take(OTHER, tmp_path / "other") is None
    store.note("c" * 40, [KEY], keep=2)


def test_what_no_kept_commit_needs_is_removed(tmp_path: Path, forms: Path) -> None:
    """And what a crash left, but not the work of a process that lives."""
    store = CompiledStore(tmp_path / "store")
    store.add(KEY, forms, DONE, share=True)
    store.add(OTHER, forms, DONE, share=True)
    left = tmp_path / "store/.compiling-x.tmp"
    left.mkdir()
    store.note("1" * 40, [KEY], keep=2)
    assert (store.has(KEY), store.has(OTHER)) == (True, False)
    assert not left.exists()
    with store.working() as work:
        store.note("2" * 40, [], keep=2)
        assert work.is_dir()
    assert not work.exists()
    assert store.has(KEY)
    store.note("3" * 40, [], keep=2)
    assert not store.has(KEY)


def test_pods_of_two_kinds_keep_each_others_entries(tmp_path: Path, forms: Path) -> None:
    """For the same commit, each under keys of its own; and what another pod has not noted yet."""
    shared = tmp_path / "shared"
    one, two = (CompiledStore(tmp_path / name, shared) for name in ("one", "two"))
    one.add(NEW, forms, DONE, share=True)
    for store, key in ((one, KEY), (two, OTHER)):
        store.add(key, forms, DONE, share=True)
        os.utime(shared / "forms" / key, (0, 0))
        store.note("c" * 40, [key], keep=2)
    assert {file.name for file in (shared / "forms").iterdir()} == {KEY, OTHER, NEW}


def test_a_key_tells_versions_and_tolerances_apart() -> None:
    spec = ModelSpec(ModelName("Net"), Path("Net"), artefact="model.pkl", version=TreeHash("1"))
    other = ModelSpec(ModelName("Net"), Path("Net"), artefact="model.pkl", version=TreeHash("2"))
    assert key_of(spec, 1e-6) == key_of(spec, 1e-6)
    assert len({key_of(spec, 1e-6), key_of(other, 1e-6), key_of(spec, 1e-9)}) == 3
