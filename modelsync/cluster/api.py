"""The API server: found from inside a pod or by a KUBECONFIG, asked again after a failure.

The only module that imports the client of Kubernetes. Nothing is watched: who uses it reads small
objects anew for each step, which needs no handling of watches that end when the API server
restarts.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from modelsync.backoff import Backoff
from modelsync.deadline import Deadline
from modelsync.errors import ClusterUnreachable, Conflict, SettingsError

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

CALL_TIMEOUT = 10.0
"""Seconds one call may take."""

RETRY = Backoff(first=0.35, most=10.0)
"""Seconds between two tries of a call."""

REFUSED_TIMEOUT = 15.0
"""Seconds for which 401, 403 and 404 are tried again, from the first of them on.

An API server that starts answers so before it has loaded its objects and policies.
"""

T = TypeVar("T")

_RAISE = object()

log = logging.getLogger(__name__)


class KubernetesApi:
    """The API server, with the rights of this pod's service account, or of KUBECONFIG's user.

    `apps`, `batch` and `core` are the client's; `namespace` is the given one, else the pod's.
    """

    def __init__(self, namespace: str = "") -> None:
        """Raise SettingsError if there is no cluster."""
        configuration, found = _configuration()
        api = client.ApiClient(configuration)
        self.apps: Any = client.AppsV1Api(api)
        self.batch: Any = client.BatchV1Api(api)
        self.core: Any = client.CoreV1Api(api)
        self.namespace = namespace or found

    def as_json(self, found: Any) -> Any:
        """Return an object of the client as the API has it."""
        return self.core.api_client.sanitize_for_serialization(found)

    def call(
        self, what: str, deadline: Deadline, call: Callable[..., T], *, absent: Any = _RAISE
    ) -> T:
        """Call the API server; retry after a transient error.

        `absent`: what to return if there is no such object, instead of an error. Raises Conflict,
        SettingsError if it refuses, ClusterUnreachable after the deadline.
        """
        failures, problem = 0, ""
        refused: Deadline | None = None
        while True:
            left = deadline.remaining()
            if not left:
                raise ClusterUnreachable(
                    f"cannot {what}{f': {problem}' if problem else ' in time'}"
                )
            try:
                return call(_request_timeout=min(CALL_TIMEOUT, left))
            except ApiException as error:
                problem = f"the API server answers {error.status} {error.reason}"
                if error.status == 404 and absent is not _RAISE:
                    return absent  # type: ignore[no-any-return]
                if error.status == 409:
                    raise Conflict(f"cannot {what}: it has changed") from None
                refused = _refusal(error, refused)
                if error.status in {400, 422} or (refused and not refused.remaining()):
                    raise SettingsError(f"cannot {what}: {problem} {_detail(error)}") from None
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                refused, problem = (
                    None,
                    f"the API server cannot be reached ({type(error).__name__})",
                )
            log.info("cannot %s, trying again: %s", what, problem)
            failures += 1
            pause = RETRY.pause(failures, random.random())  # noqa: S311 - spreads replicas out
            time.sleep(min(pause, deadline.remaining()))


def _refusal(error: ApiException, before: Deadline | None) -> Deadline | None:
    """Return until when a refusal is tried again; None if this error is none.

    Not from the beginning of the call: it may have waited long for the API server to come back.
    """
    return (before or Deadline(REFUSED_TIMEOUT)) if error.status in {401, 403, 404} else None


def _configuration() -> tuple[Any, str]:
    """The API server and the namespace: those of the pod, else those of KUBECONFIG's context.

    Raises SettingsError if there is neither.
    """
    configuration = client.Configuration()
    try:
        config.load_incluster_config(configuration)
        configuration.proxy = None  # a proxy is for the repository
        namespace = NAMESPACE_FILE.read_text("utf-8").strip()
    except (ConfigException, OSError):
        try:
            config.load_kube_config(client_configuration=configuration)
            _, context = config.list_kube_config_contexts()
        except (ConfigException, OSError) as error:
            raise SettingsError(
                "no cluster: neither a service account in a pod nor a KUBECONFIG can be read "
                f"({error})"
            ) from None
        namespace = context["context"].get("namespace", "default")
    configuration.retries = False
    return configuration, namespace


def _detail(error: ApiException) -> str:
    return " ".join((error.body or "").split())[:300]
