"""What a data scientist would write around `requests`."""

from __future__ import annotations

from typing import Any

import requests

from tests.fixtures.service import Service
from tests.waiting import patient, until

TRAIN = "train-0123456789"

ROWS = [[1.0], [2.0], [3.0], [4.0]]


class Client:
    """Calls of the models of one service, with a token that may train."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def call(self, method: str, path: str, json: Any = None, **options: Any) -> requests.Response:
        """Call a path below the base URL."""
        return requests.request(
            method,
            f"{self.service.base}/{path}",
            json=json,
            headers={"Authorization": f"Bearer {TRAIN}", **options.pop("headers", {})},
            timeout=patient(120),
            **options,
        )

    def fit(self, model: str = "Mean", **body: Any) -> dict[str, Any]:
        """Fit a version and wait for it; what the service answers."""
        body = {"x": ROWS, "y": [1, 2, 3, 4], **body}
        answer = self.call("PUT", model, body, headers={"Prefer": "wait=120"})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found["metadata"]["state"] == "done", found
        return found

    def predict(self, model: str = "Mean", path: str = "", **body: Any) -> Any:
        """The predictions for two rows."""
        answer = self.call("POST", f"{model}{path}", {"x": [[1.0], [9.0]], **body})
        assert answer.status_code == 200, answer.text
        return answer.json()["y"]

    def ended(self, job: str) -> dict[str, Any]:
        """The body of a job once it has ended."""

        def look() -> dict[str, Any] | None:
            found = requests.get(self.service.url + job, timeout=patient(60)).json()
            return found if found["done"] else None

        return until(look, 60)
