"""An API server that refuses: for a while after its start, or for good."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelsync.cluster import api
from modelsync.cluster.api import ApiAnswer, KubernetesApi
from modelsync.cluster.connection import ApiConnection
from modelsync.deadline import Deadline
from modelsync.errors import SettingsError
from tests.waiting import patient

REFUSED = ApiAnswer(403, "Forbidden", b"{}")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> KubernetesApi:
    """One that forgives refusals for a moment only; nothing is asked of it."""
    nobody = ApiConnection("http://127.0.0.1:9", None, dict, "models")
    monkeypatch.setattr(api, "connect", lambda: nobody)
    monkeypatch.setattr(api, "REFUSED_TIMEOUT", 0.3)
    return KubernetesApi()


def answering(
    cluster: KubernetesApi, monkeypatch: pytest.MonkeyPatch, answers: Iterator[ApiAnswer | OSError]
) -> None:
    """Have the API server give these answers, one for each request."""

    def send(*_: object) -> ApiAnswer:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(cluster, "_send", send)


def test_a_refusal_after_a_long_absence_is_tried_again(
    cluster: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has just come back, and has not loaded its policies: the time that it was away does not
    count.
    """
    found = ApiAnswer(200, "OK", b'"found"')
    answering(cluster, monkeypatch, iter([*[ConnectionRefusedError()] * 3, REFUSED, found]))
    assert cluster.call("ask", Deadline(patient(60)), "GET", "/version") == "found"


def test_a_refusal_that_stays_is_one_of_the_settings(
    cluster: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the call long before the deadline."""
    answering(cluster, monkeypatch, iter([REFUSED] * 100))
    with pytest.raises(SettingsError, match="403"):
        cluster.call("ask", Deadline(patient(600)), "GET", "/version")
