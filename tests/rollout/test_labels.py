"""Git tags become labels where pods are pinned: a rollout's run reads them."""

from __future__ import annotations

from pathlib import Path

from modelsync import settings, store
from tests.rollout.stage import Stage
from tests.service.following import push
from tests.training.storing import fitted


def test_a_run_gives_versions_the_labels_of_tags(stage: Stage, tmp_path: Path) -> None:
    """By the commit, or by the code of a commit that never served; one that rests does so too."""
    url = f"sqlite:///{tmp_path}/versions.db"
    opened = store.open(settings.load({"MODELSYNC_DATABASE_URL": url}))
    commit = stage.rolled_out()
    code = stage.git.git("rev-parse", "main:Model")
    number = fitted(opened, tmp_path, b"made", commit=commit, code=code).number
    stage.git.tag("Model@v3", annotated=True)
    stage.git.tag(
        "Model#stable", stage.git.push({"README.md": "words"}, branch="other", onto=commit)
    )
    run = stage.run(MODELSYNC_DATABASE_URL=url)
    assert run.code == 0, run.log.read_text()
    assert opened.catalog.model("Model").labels == {"stable": number, "v3": number}


def test_a_database_that_is_away_keeps_nothing_back(stage: Stage) -> None:
    """The commit is rolled out; the log says why there are no labels."""
    stage.rolled_out()
    stage.git.tag("Model#stable")
    commit = push(stage.git, 1)
    run = stage.run(MODELSYNC_DATABASE_URL="postgresql://nobody:wrong@127.0.0.1:9/none")
    assert (run.code, stage.api.pin) == (0, commit), run.log.read_text()
    assert "git tags did not become labels" in run.log.read_text()
    assert "wrong" not in run.log.read_text()
