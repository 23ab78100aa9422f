"""A model's first fitted version: how requests are answered until it serves."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.fixtures.service import serving, write_model
from tests.fixtures.versions import STORE_AWAY, Versions
from tests.service.test_standalone import gunicorn, started
from tests.service.test_version_faults import Hangs
from tests.waiting import patient, until

MODEL = """
class First:
    model = None

    def fit(self, x, y=None):
        return len(x)

    def transform_predict(self):
        return {"value": self.model.real}
"""


def test_a_request_while_the_first_version_is_loaded_is_told_to_come_again(tmp_path: Path) -> None:
    """Not that nothing is fitted: the client knows that its fit has ended."""
    blocked = tmp_path / "blocked"
    blocked.touch()
    versions = Versions(tmp_path / "home")
    write_model(tmp_path / "models", "First", MODEL)
    with serving(tmp_path, tmp_path / "models", env=STORE_AWAY) as service:
        url = f"{service.base}/First"

        def ask() -> requests.Response:
            return requests.post(url, json={"variables": {}}, timeout=patient(10))

        unfitted = ask()
        assert unfitted.status_code == 409
        assert "fit one with PUT" in unfitted.json()["detail"]
        versions.store("First", 1, Hangs(blocked, 4))
        versions.serve(First=1)
        [answer] = until(lambda: [one for one in [ask()] if one.status_code != 409])
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["detail"] == "version 1 of First is being loaded; try again"
        blocked.unlink()
        until(lambda: ask().json() == {"value": 7})


@pytest.mark.parametrize(
    "command",
    [("app.py",), gunicorn("gthread", "--threads", "4")],
    ids=["without preloading", "gthread"],
)
def test_versions_serve_in_every_kind_of_worker(tmp_path: Path, command: tuple[str, ...]) -> None:
    """One that is there when the process starts, and one that comes while it runs."""
    versions = Versions(tmp_path / "home")
    write_model(tmp_path / "models", "First", MODEL)
    versions.store("First", 1, 1)
    versions.serve(First=1)
    with started(tmp_path, *command, MODELSYNC_PRELOAD="false", **STORE_AWAY) as url:

        def ask(version: str = "") -> object:
            path = f"{url}/models/First{version}"
            return requests.post(path, json={"variables": {}}, timeout=patient(10)).json()

        assert until(lambda: ask() == {"value": 1})
        versions.store("First", 2, 2)
        versions.serve(First=2)
        until(lambda: ask() == {"value": 2})
        assert ask("/versions/1") == {"value": 1}
