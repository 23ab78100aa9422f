"""An API server that refuses: for a while after its start, or for good."""

from __future__ import annotations

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from modelsync.cluster import api
from modelsync.cluster.api import KubernetesApi
from modelsync.deadline import Deadline
from modelsync.errors import SettingsError
from tests.waiting import patient


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> KubernetesApi:
    """One that forgives refusals for a moment only; nothing is asked of it."""
    monkeypatch.setattr(api, "_configuration", lambda: (client.Configuration(), "models"))
    monkeypatch.setattr(api, "REFUSED_TIMEOUT", 0.3)
    return KubernetesApi()


def test_a_refusal_after_a_long_absence_is_tried_again(cluster: KubernetesApi) -> None:
    """It has just come back, and has not loaded its policies: the time that it was away does not
    count.
    """
    answers = iter([*[ConnectionRefusedError()] * 3, ApiException(403), "found"])

    def ask(**_: object) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert cluster.call("ask", Deadline(patient(60)), ask) == "found"


def test_a_refusal_that_stays_is_one_of_the_settings(cluster: KubernetesApi) -> None:
    """It ends the call long before the deadline."""

    def ask(**_: object) -> str:
        raise ApiException(403)

    with pytest.raises(SettingsError, match="403"):
        cluster.call("ask", Deadline(patient(600)), ask)
