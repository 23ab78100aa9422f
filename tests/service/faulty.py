"""Models that misbehave, and a client that notes all that it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from tests.fixtures.service import Service
from tests.waiting import until

FORBIDDEN = (
    "Traceback",
    "most recent call",
    "/releases/",
    "models_serve/",
    "modelsync_models",
    "site-packages",
)
"""What no client may ever read in an answer, besides secrets and the state directory's path."""


def model(
    predict: str = "return {'value': 1}", *, top: str = "", init: str = "pass", kind: str = "def"
) -> str:
    """The code of a model: statements at the top of the file, in `__init__` and in
    `transform_predict`.
    """
    return (
        f"{top}\n\nclass Model:\n    def __init__(self, path):\n        self.path = path\n"
        f"{_indented(init)}\n"
        f"    {kind} transform_predict(self, variables):\n{_indented(predict)}\n"
    )


def _indented(code: str) -> str:
    return "\n".join(f"        {line}" for line in code.strip("\n").split("\n"))


class Client:
    """Asks a service, and remembers every word of its answers."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.heard: list[str] = []

    def post(self, name: str, variables: Any = None, **options: Any) -> requests.Response:
        return self._noted(self.service.post(name, variables, **options))

    def get(self, path: str) -> requests.Response:
        return self._noted(self.service.get(path))

    def about(self, name: str) -> dict[str, Any]:
        """`GET /models/<name>`."""
        answer = self.get(f"/models/{name}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def problem(self, name: str, status: int, variables: Any = None) -> dict[str, Any]:
        """The problem document that a prediction is answered with."""
        answer = self.post(name, variables)
        assert answer.status_code == status, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        found: dict[str, Any] = answer.json()
        assert found["model"] == name
        assert found["request_id"] == answer.headers["X-Request-ID"]
        return found

    def value(self, name: str, variables: Any = None) -> Any:
        """What a model answers that answers `{"value": ...}`."""
        answer = self.post(name, variables)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def worker(self) -> int:
        """The process id of a worker that answers; models may have started other processes."""
        return int(self.logged(lambda: self.get("/livez"), logger="modelsync.access")["pid"])

    def logged(self, ask: Callable[[], requests.Response], **fields: str) -> dict[str, Any]:
        """The record in the log of a request, asked until there is one: it is written after the
        answer.
        """
        asked: set[str] = set()

        def found() -> dict[str, Any] | None:
            asked.add(ask().headers["X-Request-ID"])
            return next(
                (one for one in self.service.lines(**fields) if one.get("request_id") in asked),
                None,
            )

        return until(found)

    def leaks(self, *secrets: str) -> list[str]:
        """The answers that tell what no client may know."""
        words = (*FORBIDDEN, str(self.service.home), *secrets)
        return [f"{word}: {text[:2000]}" for text in self.heard for word in words if word in text]

    def _noted(self, answer: requests.Response) -> requests.Response:
        self.heard.append(f"{answer.headers}\n{answer.text[:100_000]}")
        return answer
