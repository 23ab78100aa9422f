"""Releases: old or new, never a mix."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelsync.deadline import Deadline
from modelsync.errors import ReleaseUnreadable, StorageFailed, SyncTimeout
from modelsync.models.measurements import Measurements
from modelsync.models.types import Fault, ModelEntry, ModelName, ModelSpec, TreeHash
from modelsync.releases.environment import environment
from modelsync.releases.store import Release, Releases
from modelsync.sync.status import Status, read_status, write_status
from tests.waiting import patient

OLD, NEW = "a" * 40, "b" * 40
ENVIRONMENT = environment()


def entry(name: str, fault: Fault | None = None) -> ModelEntry:
    path = Path("models_serve", name)
    spec = ModelSpec(ModelName(name), path, TreeHash("1" * 40), class_name=name, is_async=True)
    measured = Measurements(call_seconds=0.001)
    return ModelEntry.of(spec, path, fault=fault, release=OLD, measured=measured)


def publish(
    releases: Releases, commit: str, *, current: bool = True, **models: ModelEntry
) -> Release:
    """Build and publish a release with one file per model, as an update does."""
    with releases.stage() as staging:
        for name in models or ("Churn",):
            (staging.models_serve / name).mkdir(parents=True)
            (staging.models_serve / name / "etls.py").write_text(commit)
        entries = {ModelName(name): entry for name, entry in models.items()}
        release = Release(releases.next_id(commit), commit, "git", ENVIRONMENT, entries)
        release = staging.publish(release, f"# {commit}\n")
    if current:
        releases.make_current(release)
    return release


def names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_a_published_release_reads_back_the_same(tmp_path: Path) -> None:
    """What was written, faults and odd text included, is what is read; and it is what `current`
    points to.
    """
    fault = Fault("load", "No module named 'näh' \n 💥", file="etls.py", line=3, hint="add it")
    published = publish(Releases(tmp_path), NEW, Churn=entry("Churn"), Fraud=entry("Fraud", fault))
    assert Releases(tmp_path).current() == published
    assert published.path == tmp_path / "releases" / NEW
    assert published.created > "2020"
    assert (tmp_path / "current").readlink() == Path("releases") / NEW
    assert (tmp_path / "current" / "serve_models.py").read_text() == f"# {NEW}\n"
    assert names(published.path) == ["models_serve", "release.json", "serve_models.py"]


WRITTEN_BEFORE = """{
 "format": 1, "id": "%(id)s", "commit": "%(id)s", "source": "git", "environment": "0123",
 "created": "2026-01-01T00:00:00Z", "origin": "host/repo",
 "models": {
  "Churn": {
   "name": "Churn", "state": "stale", "version": "%(one)s", "wanted_version": "%(two)s",
   "release": "%(id)s", "folder": "models_serve/Churn", "class_name": "Churn",
   "writes_self": true, "is_async": false,
   "fault": {"stage": "load", "message": "no", "file": "etls.py", "line": 3, "hint": null},
   "load_seconds": 0.5, "call_seconds": 0.001, "examples": 2, "artefact": ""
  },
  "Wine": {
   "name": "Wine", "state": "failed", "version": "", "wanted_version": "%(two)s",
   "release": "%(id)s", "folder": "models_serve/Wine", "class_name": "",
   "writes_self": false, "is_async": false,
   "fault": {"stage": "name", "message": "no", "file": null, "line": null, "hint": null},
   "load_seconds": null, "call_seconds": null, "examples": 0, "artefact": "model.onnx"
  }
 },
 "written_by_a_newer_version": true
}
"""


def test_a_release_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    """After an upgrade the release that serves goes on: format 1 keeps its flat keys."""
    path = publish(Releases(tmp_path), NEW).path
    text = WRITTEN_BEFORE % {"id": NEW, "one": "1" * 40, "two": "2" * 40}
    (path / "release.json").write_text(text)
    release = Releases(tmp_path).current()
    assert release
    assert (release.commit, release.origin) == (NEW, "host/repo")
    churn, wine = release.models[ModelName("Churn")], release.models[ModelName("Wine")]
    assert (churn.version, churn.wanted_version) == ("1" * 40, "2" * 40)
    assert (churn.folder, churn.spec.class_name) == ("models_serve/Churn", "Churn")
    assert (churn.spec.writes_self, churn.spec.is_async) == (True, False)
    assert churn.fault == Fault("load", "no", "etls.py", 3)
    assert churn.measured == Measurements(0.5, 0.001, 2)
    assert (wine.state, wine.version, wine.spec.artefact) == ("failed", "", "model.onnx")


def test_every_key_of_an_earlier_version_is_written(tmp_path: Path) -> None:
    """An earlier version that comes back after an upgrade finds all that it reads."""
    path = publish(Releases(tmp_path), NEW, Churn=entry("Churn")).path
    old = json.loads(WRITTEN_BEFORE)
    new = json.loads((path / "release.json").read_text())
    assert old.keys() - {"written_by_a_newer_version"} == new.keys() - {"passed_over"}
    keys, old_keys = new["models"]["Churn"].keys(), old["models"]["Churn"].keys()
    assert (old_keys - keys, keys - old_keys) == (
        set(),
        {
            "compilation",
            "compiled",
            "environment",
            "function",
            "methods",
            "placement",
            "plan",
            "response",
            "schema",
            "shared",
            "subdir",
            "unfitted",
            "warnings",
        },
    )


def test_names_that_are_no_text_do_not_stop_a_report(tmp_path: Path) -> None:
    """A fault that quotes a file name which is no UTF-8 is written, its odd bytes replaced."""
    publish(
        Releases(tmp_path), NEW, Churn=entry("Churn", Fault("static", os.fsdecode(b"bad \xff")))
    )
    current = Releases(tmp_path).current()
    assert current
    assert current.models[ModelName("Churn")].fault == Fault("static", "bad ?")


def test_the_same_commit_built_again_gets_another_id(tmp_path: Path) -> None:
    """A release is never replaced: `<commit>`, then `<commit>.2`, `<commit>.3`."""
    releases = Releases(tmp_path)
    assert [publish(releases, NEW).id for _ in range(3)] == [NEW, f"{NEW}.2", f"{NEW}.3"]
    with releases.stage() as staging:
        staging.models_serve.mkdir()
        with pytest.raises(StorageFailed):
            staging.publish(Release(NEW, NEW, "git", ""), "")
    assert names(tmp_path / "releases") == [NEW, f"{NEW}.2", f"{NEW}.3"]


def test_a_failure_while_building_leaves_nothing(tmp_path: Path) -> None:
    """Whatever goes wrong in between, the staging folder goes and the current release stays."""
    releases = Releases(tmp_path)
    publish(releases, OLD)
    with suppress(RuntimeError), releases.stage() as staging:
        staging.models_serve.mkdir()
        raise RuntimeError
    assert names(tmp_path / "releases") == [OLD]
    assert (tmp_path / "current").readlink().name == OLD


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "release.json").unlink(), "No such file"),
        (
            lambda path: (path / "release.json").write_bytes(
                (path / "release.json").read_bytes()[:50]
            ),
            "damaged",
        ),
        (lambda path: (path / "release.json").write_text("[]"), "damaged"),
        (lambda path: (path / "release.json").write_text('{"format": 2}'), "format 2 is not 1"),
        (lambda path: (path / "release.json").write_bytes(b"\xff"), "damaged"),
        (lambda path: (path / "serve_models.py").unlink(), "is incomplete"),
    ],
)
def test_a_damaged_current_release_counts_as_none(
    tmp_path: Path, damage: Callable[[Path], Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is reported, not raised; the next update builds the same commit under a new id and all is
    well.
    """
    releases = Releases(tmp_path)
    damage(publish(releases, NEW).path)
    assert releases.current() is None
    assert message in caplog.text
    with pytest.raises(ReleaseUnreadable, match=message):
        releases.read(NEW)
    assert publish(releases, NEW).id == f"{NEW}.2"
    assert releases.current()


@pytest.mark.parametrize("release_id", ["../../etc", "", ".", "x/y", "-rf"])
def test_an_id_cannot_lead_elsewhere(tmp_path: Path, release_id: str) -> None:
    """An id is a hash with an optional number, nothing else is looked for on the disk."""
    with pytest.raises(ReleaseUnreadable):
        Releases(tmp_path).read(release_id)


def test_a_fresh_home_has_nothing(tmp_path: Path) -> None:
    """No state directory yet is no error."""
    releases = Releases(tmp_path / "home")
    assert releases.current() is None
    assert releases.history() == []
    releases.sweep(3)
    assert read_status(tmp_path / "home") == Status()


def test_sweeping_keeps_the_newest_the_current_and_those_in_use(tmp_path: Path) -> None:
    """Old releases go; the current one stays however old, and so does one that a running generation
    uses.
    """
    releases = Releases(tmp_path)
    made = [publish(releases, f"{number}" * 40) for number in range(6)]
    releases.sweep(2, in_use={made[0].id})
    assert names(tmp_path / "releases") == [made[0].id, made[4].id, made[5].id]
    assert [release.id for release in releases.history()] == [made[5].id, made[4].id, made[0].id]


def test_sweeping_removes_what_never_became_current(tmp_path: Path) -> None:
    """A release whose update died before it was made current, or that was taken back, is litter
    unless in use.
    """
    releases = Releases(tmp_path)
    publish(releases, OLD)
    lost = publish(releases, NEW, current=False)
    releases.sweep(3, in_use={lost.id})
    assert names(tmp_path / "releases") == [OLD, NEW]
    releases.sweep(3)
    assert names(tmp_path / "releases") == [OLD]


def test_sweeping_without_a_readable_current_release_is_careful(tmp_path: Path) -> None:
    """With the link gone, or the current release damaged, the last good ones are kept."""
    releases = Releases(tmp_path)
    publish(releases, OLD)
    (publish(releases, NEW).path / "release.json").unlink()
    releases.sweep(3)
    assert names(tmp_path / "releases") == [OLD, NEW]
    (tmp_path / "current").unlink()
    releases.sweep(3)
    assert names(tmp_path / "releases") == [OLD]


def test_one_at_a_time_over_processes(tmp_path: Path) -> None:
    """A lock held elsewhere is waited for until the deadline; a holder who is killed frees it."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        with Releases(tmp_path).lock(Deadline(patient(10))):
            os.write(writer, b"x")
            signal.pause()
        os._exit(0)
    os.read(reader, 1)
    with pytest.raises(SyncTimeout), Releases(tmp_path).lock(Deadline(0.2)):
        raise AssertionError
    waited = threading.Event()

    def wait() -> None:
        with Releases(tmp_path).lock(Deadline(patient(20))):
            waited.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    waiting.join()
    os.close(reader)
    os.close(writer)
    assert waited.is_set()


def test_the_environment_has_a_digest() -> None:
    """The same Python and libraries give the same digest."""
    assert environment() == environment()
    assert len(environment()) == 16


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    """A file in its place is StorageFailed in every operation that writes, with no path in the
    message.
    """
    (tmp_path / "home").touch()
    releases = Releases(tmp_path / "home")
    attempts: list[Callable[[], Any]] = [
        lambda: publish(releases, NEW),
        lambda: releases.lock(Deadline(patient(1))).__enter__(),
        lambda: releases.make_current(Release(NEW, NEW, "git", "")),
        lambda: write_status(tmp_path / "home", Status()),
    ]
    for attempt in attempts:
        with pytest.raises(StorageFailed) as caught:
            attempt()
        assert str(tmp_path) not in str(caught.value)


# --- killed at any moment -------------------------------------------------------------------------

_STEPS = ("os.", "open", "tempfile.", "shutil.", "fcntl.")


def dies_before_step(number: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child that kills itself before its `number`-th operation on files; whether
    it died.
    """
    child = os.fork()
    if not child:
        left = [number]

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            reads = (
                event == "open"
                and isinstance(arguments[2], int)
                and not arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
            if (
                event.startswith(_STEPS)
                and event not in {"os.listdir", "os.scandir", "os.kill"}
                and not reads
            ):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_killed_at_any_step_leaves_the_old_release_or_the_new_one(tmp_path: Path) -> None:
    """For every n: killed before its n-th operation on files, an update leaves a whole release; the
    next run heals.
    """

    def update(home: Path) -> None:
        releases = Releases(home)
        with releases.lock(Deadline(patient(10))):
            releases.sweep(2)
            publish(releases, NEW, Churn=entry("Churn"))
            write_status(home, Status(served_commit=NEW))
            releases.sweep(2)

    number, died = 0, True
    while died:
        home = tmp_path / str(number)
        publish(Releases(home), "0" * 40)
        publish(Releases(home), OLD)
        write_status(home, Status(served_commit=OLD))
        died = dies_before_step(number, partial(update, home))
        current = Releases(home).current()
        assert current
        assert current.commit in {OLD, NEW}, number
        model = current.models_serve / "Churn/etls.py"
        assert model.read_text() == current.commit, number
        assert (current.path / "serve_models.py").read_text() == f"# {current.commit}\n", number
        assert read_status(home).served_commit in {OLD, NEW}, number
        update(home)
        healed = Releases(home).current()
        assert healed
        assert healed.commit == NEW
        assert names(home) == ["current", "lock", "releases", "status.json"], number
        assert len(names(home / "releases")) == 2, number
        assert all(not name.startswith(".") for name in names(home / "releases")), number
        number += 1
    assert number > 20


def test_a_release_that_a_process_holds_is_known(tmp_path: Path) -> None:
    """While a generation holds its release, also in a fork, `held` names it; the last one to end
    frees it.
    """
    releases = Releases(tmp_path)
    release = publish(releases, NEW)
    assert releases.held() == set()
    held = releases.hold(release)
    assert releases.held() == {NEW}
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.read(reader, 1)
        os._exit(0)
    os.close(held)
    assert releases.held() == {NEW}
    os.write(writer, b"x")
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    assert releases.held() == set()
