"""Git tags as labels of trained models: which tags count, and what a sync makes of them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelsync import settings
from modelsync.deadline import Deadline
from modelsync.settings import Revision, Settings
from modelsync.sync import labels
from modelsync.sync.folder_source import FolderSource
from modelsync.sync.labels import LabelTarget
from modelsync.sync.sources import GitSource
from tests.command import modelsync
from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
from tests.waiting import patient

ONE, TWO, THREE = "1" * 40, "2" * 40, "3" * 40
NO_PROXY = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    for name in NO_PROXY:
        monkeypatch.delenv(name, raising=False)
    with GitServer(tmp_path / "repository.git") as made:
        made.push({"Churn/etls.py": answers(1), "Fraud/etls.py": answers(1)})
        yield made


def following(server: GitServer, home: Path, **more: str) -> Settings:
    given = {"gitPath": server.url, "MODELSYNC_GIT_PROTOCOLS": "http", "MODELSYNC_HOME": str(home)}
    return settings.load({**given, **more})


def synced(config: Settings) -> labels.Labels | None:
    """What a sync writes of the tags."""
    source, deadline = GitSource(config), Deadline(patient(30))
    commit = source.resolve(deadline)
    config.state.home.mkdir(parents=True, exist_ok=True)
    source.export(commit, config.state.home / f"export-{commit}", deadline)
    labels.record(config.state.home, source, deadline)
    return labels.read(config.state.home)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ({"Churn@v3": ONE}, {"Churn": {"v3": ONE}}),
        ({"Churn@v1.2.0-rc.1+b7": ONE}, {"Churn": {"v1.2.0-rc.1+b7": ONE}}),
        ({"Churn#stable": ONE}, {"Churn": {"stable": ONE}}),
        ({"Churn#stable#1": ONE, "Churn#stable#2": TWO}, {"Churn": {"stable": TWO}}),
        ({"Churn#stable#9": ONE, "Churn#stable#10": TWO}, {"Churn": {"stable": TWO}}),
        ({"Churn#stable": ONE, "Churn#stable#1": TWO}, {"Churn": {"stable": TWO}}),
        ({"Churn#stable#1": ONE, "Churn#stable!#2": ONE}, {}),
        ({"Churn#stable#1": ONE, "Churn#stable!#2": ONE, "Churn#stable#3": TWO},
         {"Churn": {"stable": TWO}}),
        ({"Churn@v3": ONE, "Churn@v3!": ONE}, {}),
        ({"Churn@deprecated": ONE, "Churn@created": ONE}, {}),
        ({"Churn#stable": ONE, "Fraud#stable": TWO, "Fraud@v1.0.0": TWO},
         {"Churn": {"stable": ONE}, "Fraud": {"stable": TWO, "v1.0.0": TWO}}),
        ({"v1.0.0": ONE, "release@": ONE, "@v3": ONE, "Churn#": ONE, "Churn#a/b": ONE}, {}),
        ({"Churn@3": ONE}, {}),  # a number in a URL is that of a version
        ({"Churn#stable#two": ONE, "Churn@v1@v2": ONE}, {}),
    ],
)  # fmt: skip
def test_names_of_tags(tags: dict[str, str], wanted: dict[str, dict[str, str]]) -> None:
    """As GTO writes them: the assignment with the highest count holds; other tags are no labels."""
    found = labels.parse(tags)
    assert {
        model: {label: target.commit for label, target in targets.items()}
        for model, targets in found.items()
    } == wanted


@pytest.mark.parametrize("tag", ["Churn#stable", "models/Churn#stable", "models=Churn#stable"])
def test_the_folder_of_the_models_may_stand_before(tag: str) -> None:
    """In a repository with other things a tag may name the model by its path, as GTO does."""
    assert labels.parse({tag: ONE}, "models") == {"Churn": {"stable": LabelTarget(ONE)}}
    assert "Churn" not in labels.parse({"other/Churn#stable": ONE}, "models")


# --- syncs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("annotated", [False, True])
def test_tags_lead_to_commits(server: GitServer, tmp_path: Path, annotated: bool) -> None:
    """Of an annotated tag the commit counts, not the tag's own object; the code is the folder's."""
    commit = server.git("rev-parse", "main")
    server.tag("Churn@v3", annotated=annotated)
    server.tag("nothing-of-ours")
    code = server.git("rev-parse", "main:Churn")
    assert synced(following(server, tmp_path / "home")) == {
        "Churn": {"v3": LabelTarget(commit, code)}
    }


def test_tags_that_move_and_go(server: GitServer, tmp_path: Path) -> None:
    """The next sync has what the remote has then, also if nothing else has changed there."""
    config = following(server, tmp_path / "home")
    server.tag("Churn#stable")
    assert synced(config) == {
        "Churn": {
            "stable": LabelTarget(
                server.git("rev-parse", "main"), server.git("rev-parse", "main:Churn")
            )
        }
    }
    server.tag("Churn#stable", server.push({"Churn/etls.py": answers(2)}))
    moved = synced(config)
    assert moved
    assert moved["Churn"]["stable"].code == server.git("rev-parse", "main:Churn")
    server.git("tag", "-d", "Churn#stable")
    assert synced(config) == {}


def test_tags_of_commits_that_do_not_serve(server: GitServer, tmp_path: Path) -> None:
    """The code of an older commit is known too; that of a commit without the model is none."""
    old = server.git("rev-parse", "main")
    code = server.git("rev-parse", "main:Churn")
    server.push({"Churn/etls.py": answers(2)})
    server.tag("Churn@v1", old)
    server.tag("Later#stable", old)
    assert synced(following(server, tmp_path / "home")) == {
        "Churn": {"v1": LabelTarget(old, code)},
        "Later": {"stable": LabelTarget(old, "")},
    }


def test_a_tag_of_a_file_spoils_nothing(server: GitServer, tmp_path: Path) -> None:
    """A tag that leads to no commit gives a label that no version gets."""
    blob = server.blob("text")
    server.git("tag", "Churn@v1", blob)
    server.tag("Churn@v2")
    found = synced(following(server, tmp_path / "home"))
    assert found
    assert found["Churn"]["v1"] == LabelTarget(blob, "")
    assert found["Churn"]["v2"].code


def test_the_listing_is_read_once(server: GitServer, tmp_path: Path) -> None:
    """Tags cost no further request: they come with the listing that resolves the ref."""
    config = following(server, tmp_path / "home")
    server.tag("Churn#stable")
    synced(config)
    asked = len(server.requests)
    synced(config)
    assert [path for _, path, _ in server.requests[asked:]].count(
        "/repository.git/info/refs?service=git-upload-pack"
    ) == 1


def test_a_followed_hash_has_tags_too(server: GitServer, tmp_path: Path) -> None:
    """A ref that is the hash of a commit needs no listing; the tags are listed all the same."""
    commit = server.git("rev-parse", "main")
    server.tag("Churn#stable")
    found = synced(following(server, tmp_path / "home", MODELSYNC_GIT_REF=commit))
    assert found
    assert found["Churn"]["stable"].commit == commit


def test_pinned_pods_leave_tags_to_the_rollout(server: GitServer, tmp_path: Path) -> None:
    """A pod that serves a pinned commit asks the remote for no tags, and a folder has none."""
    server.tag("Churn#stable")
    config = following(server, tmp_path / "home")
    pin = Revision(server.git("rev-parse", "main"))
    assert synced(replace(config, git=replace(config.git, revision=pin))) is None
    labels.record(tmp_path / "home", FolderSource(config), Deadline(patient(10)))
    assert labels.read(tmp_path / "home") is None


def test_unknown_models_are_told_once(
    server: GitServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A tag of a model that is not there is logged by the first sync that sees it."""
    server.tag("Chrun#stable")
    with caplog.at_level(logging.WARNING):
        synced(following(server, tmp_path / "home"))
        assert caplog.text.count("tags name the model Chrun") == 1
        server.tag("Churn#stable")
        synced(following(server, tmp_path / "home"))
    assert caplog.text.count("Chrun") == 1


@pytest.mark.parametrize("text", ["", "[]", '{"Churn": 1}', '{"Churn": {"v1": {"x": 1}}}', "\0"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    """Labels that cannot be read are those of no sync; the next one writes them anew."""
    (tmp_path / "labels.json").write_text(text)
    assert labels.read(tmp_path) is None


def test_the_command_reads_them(server: GitServer, tmp_path: Path) -> None:
    """`modelsync sync` writes the labels, also when it refuses the commit, or has nothing new."""
    home = tmp_path / "home"
    environ = {
        "gitPath": server.url, "MODELSYNC_GIT_PROTOCOLS": "http", "MODELSYNC_HOME": str(home),
        "MODELSYNC_ON_BROKEN_MODEL": "reject", **NO_PROXY,
    }  # fmt: skip
    server.tag("Churn#stable#1")
    assert modelsync("sync", cwd=tmp_path, **environ).returncode == 0
    first = labels.read(home)
    assert first
    server.tag("Churn#stable#2", server.push({"Churn/etls.py": "def broken(:\n"}))
    assert modelsync("sync", cwd=tmp_path, **environ).returncode != 0
    second = labels.read(home)
    assert second
    assert second["Churn"]["stable"].commit == server.git("rev-parse", "main")
    server.tag("Churn#canary", first["Churn"]["stable"].commit)
    modelsync("sync", cwd=tmp_path, **environ)
    third = labels.read(home)
    assert third
    assert set(third["Churn"]) == {"stable", "canary"}
