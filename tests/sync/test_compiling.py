"""Compiled forms in syncs: made once, kept in the store, taken from there, never in the way."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import psutil
import pytest

from tests.fixtures.compilers import (
    CRASHES,
    GATE,
    HOARDS,
    IS_KILLED,
    RAISES,
    Converter,
    Home,
    network,
    write_ready,
)
from tests.fixtures.processes import gone
from tests.fixtures.service import answers, write_model
from tests.waiting import until

pytestmark = pytest.mark.long


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one ready model."""
    write_ready(tmp_path / "models", "Net", network())
    return tmp_path / "models"


def test_forms_are_made_once_and_go_from_release_to_release(tmp_path: Path, models: Path) -> None:
    """Also into that of another state directory, through the cache that pods share, and back after
    the store was lost. No compiler is asked again: it would fail.
    """
    cache = str(tmp_path / "cache")
    home = Home(tmp_path / "home", models, MODELSYNC_GIT_CACHE=cache)
    log = home.sync()
    first = home.entry("Net")
    assert first["compilation"]["state"] == "compiled", first["compilation"]
    assert first["compiled"] == "compiled/Net"
    forms = {one.name for one in (home.home / "current/compiled/Net").rglob("*") if one.is_file()}
    assert {"fingerprint", "form.json"} <= forms
    assert 'compiled="compiled/Net"' in (home.home / "current/serve_models.py").read_text()
    assert next(one["compiled"] for one in log if one.get("event") == "compiled").keys() == {"Net"}

    broken = Converter(tmp_path / "broken", CRASHES).settings
    write_model(models, "Other", answers(1, "Other"))
    home.sync(**broken)
    assert home.entry("Net") == first
    assert home.entry("Other")["compilation"] is None
    home.sync("--force", **broken)
    assert home.entry("Net")["compilation"] == first["compilation"]

    elsewhere = Home(tmp_path / "elsewhere", models, MODELSYNC_GIT_CACHE=cache)
    elsewhere.sync(**broken)
    assert elsewhere.entry("Net")["compilation"] == first["compilation"]
    assert (elsewhere.home / "current/compiled/Net/fingerprint").is_file()


def test_what_is_damaged_on_disk_is_compiled_again(tmp_path: Path, models: Path) -> None:
    home = Home(tmp_path / "home", models)
    home.sync()
    [file] = (home.home / "compiled").rglob("form.json")
    file.write_text("{}")
    home.sync("--force")
    assert home.state("Net") == "compiled"
    assert (home.home / "current/compiled/Net/artefact/form.json").read_text() != "{}"


def test_a_broken_version_leaves_the_compiled_one_serving(tmp_path: Path, models: Path) -> None:
    home = Home(tmp_path / "home", models)
    home.sync()
    (models / "Net/model.pkl").write_bytes(b"\x80\x04no pickle")
    home.sync()
    entry = home.entry("Net")
    assert (entry["state"], entry["compiled"]) == ("stale", "compiled/Net")
    assert entry["compilation"]["state"] == "compiled"
    assert (home.home / "current/compiled/Net/fingerprint").is_file()


@pytest.mark.parametrize(
    ("code", "said"),
    [(RAISES, "no converter today"), (CRASHES, "SIGABRT"), (HOARDS, "MemoryError")],
)
def test_a_broken_compiler_hurts_nothing(
    tmp_path: Path, models: Path, code: str, said: str
) -> None:
    write_model(models, "Other", answers(1, "Other"))
    home = Home(tmp_path / "home", models)
    home.sync(**Converter(tmp_path / "broken", code).settings)
    entry = home.entry("Net")
    assert (entry["state"], entry["compiled"]) == ("ready", None)
    assert entry["compilation"]["state"] == "refused"
    assert said in entry["compilation"]["reason"]
    assert home.entry("Other")["state"] == "ready"
    assert not home.litter()


def test_a_compiler_that_was_killed_is_tried_again(tmp_path: Path, models: Path) -> None:
    """Memory was short then; that is nothing to remember, nor to tell other pods."""
    home = Home(tmp_path / "home", models, MODELSYNC_GIT_CACHE=str(tmp_path / "cache"))
    home.sync(**Converter(tmp_path / "broken", IS_KILLED).settings)
    assert home.state("Net") == "late"
    home.sync()
    assert home.state("Net") == "compiled"


def test_off_compiles_nothing(tmp_path: Path, models: Path) -> None:
    home = Home(tmp_path / "home", models)
    home.sync(MODELSYNC_COMPILE="off", **Converter(tmp_path / "broken", CRASHES).settings)
    assert home.state("Net") == "off"
    assert home.entry("Net")["compiled"] is None
    home.sync()  # with the setting changed, the same commit gives another release
    assert home.state("Net") == "compiled"


def test_a_sync_that_is_killed_while_it_compiles(tmp_path: Path, models: Path) -> None:
    """It leaves no process, and the next one heals all."""
    home = Home(tmp_path / "home", models)
    gate = Converter(tmp_path / "gate", GATE)
    process = home.start(**gate.settings)
    mark = "modelsync.models.compiling.child"
    tree = psutil.Process(process.pid)

    def compiles() -> bool:
        with contextlib.suppress(psutil.Error):  # one of them ends meanwhile
            return any(mark in " ".join(one.cmdline()) for one in tree.children(recursive=True))
        return False

    until(compiles, 60, "the compile process has started")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    gone(tmp_path / "gate")
    assert not (home.home / "current").exists()
    home.sync()
    assert home.state("Net") == "compiled"
    assert not home.litter()


def test_a_compiler_that_hangs_is_cut_off(tmp_path: Path, models: Path) -> None:
    """The sync goes on without it, and the models beside it are compiled all the same."""
    home = Home(tmp_path / "home", models)
    gate = Converter(tmp_path / "gate", GATE)
    home.sync(MODELSYNC_COMPILE_TIMEOUT="950ms", **gate.settings)
    entry = home.entry("Net")
    assert (entry["state"], entry["compiled"]) == ("ready", None)
    assert entry["compilation"]["state"] == "late"
    assert entry["compilation"]["reason"] == "it took longer than 0.95 s"
    gone(tmp_path / "gate")
    assert not home.litter()
    home.sync()  # no service runs that would compile it by itself
    assert home.state("Net") == "compiled"
