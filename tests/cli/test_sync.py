"""`modelsync sync`: one update, and its exit code."""

from __future__ import annotations

from pathlib import Path

from modelsync.releases import owners
from tests.command import modelsync
from tests.fixtures.service import answers, serving, write_model
from tests.waiting import until


def test_sync_publishes_and_tells_the_running_service(tmp_path: Path) -> None:
    """`modelsync sync` publishes what changed, says so, and a service that runs from the same state
    swaps to it. One whose settings name another folder changes nothing: in a second terminal that
    lacks what the service was started with, it would publish other models.
    """
    models = tmp_path / "models_serve"
    write_model(models, "Model", answers(1))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        assert service.post("Model").json() == {"value": 1}
        write_model(models, "Model", answers(2))
        done = modelsync(
            "sync", cwd=tmp_path, MODELSYNC_HOME=str(service.home), MODELSYNC_MODELS=str(models)
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("published: ")
        assert "1 models, 0 broken" in done.stdout
        until(lambda: service.post("Model").json() == {"value": 2})
        before = service.release()["commit"]
        write_model(tmp_path / "others", "Other", answers(3))
        done = modelsync(
            "sync", cwd=tmp_path, MODELSYNC_HOME=str(service.home), MODELSYNC_MODELS="others"
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "serves a local folder, and the settings of this command name" in done.stderr
        assert service.release()["commit"] == before
    again = modelsync(
        "sync", cwd=tmp_path, MODELSYNC_HOME=str(service.home), MODELSYNC_MODELS=str(models)
    )
    assert (again.returncode, again.stdout.split(":")[0]) == (0, "unchanged")
    assert "signalled" not in again.stdout


def test_a_failed_sync_ends_with_1(tmp_path: Path) -> None:
    """Where a sync fails, the exit code is 1 and the reason is told in one line, after what the log
    says.
    """
    done = modelsync("sync", cwd=tmp_path, MODELSYNC_MODELS="nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("modelsync: there is no folder nowhere/")


def test_what_the_service_follows_counts_before_it_has_a_release(tmp_path: Path) -> None:
    """A service that has just been started for another source serves nothing of it yet."""
    write_model(tmp_path / "models_serve", "Model", answers(1))
    home = tmp_path / "home"
    environ = {"MODELSYNC_HOME": str(home)}
    with owners.own(home, "git host.example/models"):
        done = modelsync("sync", cwd=tmp_path, **environ)
        assert done.returncode == 2
        assert "serves host.example/models, and the settings" in done.stderr
        assert not (home / "releases").exists()
    assert modelsync("sync", cwd=tmp_path, **environ).returncode == 0
