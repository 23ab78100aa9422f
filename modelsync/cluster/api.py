"""The API server: asked in JSON, and again after a failure.

Nothing is watched: who uses it reads small objects anew for each step, which needs no handling of
watches that end when the API server restarts.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

import urllib3

from modelsync.backoff import Backoff
from modelsync.cluster.connection import connect
from modelsync.deadline import Deadline
from modelsync.errors import ClusterUnreachable, Conflict, SettingsError

CALL_TIMEOUT = 10.0
"""Seconds one call may take."""

RETRY = Backoff(first=0.35, most=10.0)
"""Seconds between two tries of a call."""

REFUSED_TIMEOUT = 15.0
"""Seconds for which 401, 403 and 404 are tried again, from the first of them on.

An API server that starts answers so before it has loaded its objects and policies.
"""

_TYPES = {"PATCH": "application/merge-patch+json"}
"""The media type of a body, by method, where it is not plain JSON."""

_RAISE = object()

Method = Literal["GET", "PATCH", "POST", "DELETE"]

log = logging.getLogger(__name__)


class ApiAnswer(NamedTuple):
    """An answer of the API server: its status, its reason phrase, its text."""

    status: int
    reason: str
    text: bytes


class KubernetesApi:
    """The API server, with the rights of this pod's service account, or of KUBECONFIG's user.

    `namespace` is the given one, else the pod's.
    """

    def __init__(self, namespace: str = "") -> None:
        """Raise SettingsError if there is no cluster."""
        self._connection = connect()
        self.namespace = namespace or self._connection.namespace

    def path(self, group: str, kind: str, name: str = "") -> str:
        """The path of the objects of a kind in the namespace, or of one of them.

        `group` is such as `apps/v1`; `v1` is the core.
        """
        root = "api" if "/" not in group else "apis"
        return f"/{root}/{group}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")

    def call(
        self,
        what: str,
        deadline: Deadline,
        method: Method,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        absent: Any = _RAISE,
    ) -> Any:
        """Call the API server; retry after a transient error. Returns the JSON of its answer.

        `absent`: what to return if there is no such object, instead of an error. Raises Conflict,
        SettingsError if it refuses, ClusterUnreachable after the deadline.
        """
        url = f"{path}?{urlencode(query)}" if query else path
        failures, problem = 0, ""
        refused: Deadline | None = None
        while True:
            left = deadline.remaining()
            if not left:
                raise ClusterUnreachable(
                    f"cannot {what}{f': {problem}' if problem else ' in time'}"
                )
            try:
                answer = self._send(method, url, body, min(CALL_TIMEOUT, left))
                if answer.status < 400:
                    return json.loads(answer.text)
                problem = f"the API server answers {answer.status} {answer.reason}"
                if answer.status == 404 and absent is not _RAISE:
                    return absent
                if answer.status == 409:
                    raise Conflict(f"cannot {what}: it has changed")
                refused = _refusal(answer, refused)
                if answer.status in {400, 422} or (refused and not refused.remaining()):
                    raise SettingsError(f"cannot {what}: {problem} {_detail(answer)}")
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                refused, problem = (
                    None,
                    f"the API server cannot be reached ({type(error).__name__})",
                )
            log.info("cannot %s, trying again: %s", what, problem)
            failures += 1
            pause = RETRY.pause(failures, random.random())  # noqa: S311 - spreads replicas out
            time.sleep(min(pause, deadline.remaining()))

    def _send(self, method: Method, url: str, body: Any, timeout: float) -> ApiAnswer:
        """Send one request. Raises HTTPError of urllib3, OSError."""
        server, pool, login, _ = self._connection
        headers = {"Accept": "application/json", **login()}
        if body is not None:
            headers["Content-Type"] = _TYPES.get(method, "application/json")
        answer = pool.request(
            method,
            f"{server}{url}",
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            timeout=urllib3.Timeout(total=timeout),
            retries=False,
            redirect=False,
        )
        return ApiAnswer(answer.status, answer.reason or "", answer.data)


def _refusal(answer: ApiAnswer, before: Deadline | None) -> Deadline | None:
    """Return until when a refusal is tried again; None if this answer is none.

    Not from the beginning of the call: it may have waited long for the API server to come back.
    """
    return (before or Deadline(REFUSED_TIMEOUT)) if answer.status in {401, 403, 404} else None


def _detail(answer: ApiAnswer) -> str:
    return " ".join(answer.text.decode("utf-8", "replace").split())[:300]
