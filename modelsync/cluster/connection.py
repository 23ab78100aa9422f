"""The way to the API server: from inside a pod by its service account, else by a KUBECONFIG.

The only module that knows the Kubernetes client, and only for a KUBECONFIG, which may name a
program or a provider that logs in. Its hundreds of models take a second of a processor to import,
three times as long as all else that a run needs, and as much memory as that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from modelsync.errors import SettingsError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""The folder with the service account's token, its namespace, and the CA of the API server."""


class ApiConnection(NamedTuple):
    """How to ask: the `server` is its URL, `login` gives the headers of each request anew."""

    server: str
    pool: Any
    login: Callable[[], Mapping[str, str]]
    namespace: str


def connect() -> ApiConnection:
    """The API server and the namespace: those of the pod, else those of KUBECONFIG's context.

    Raises SettingsError if there is neither.
    """
    return _from_pod() or _from_kubeconfig()


def _from_pod() -> ApiConnection | None:
    """By the variables and files that Kubernetes gives to each pod with a service account."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{name}", "") for name in ("HOST", "PORT"))
    authority = ACCOUNT / "ca.crt"
    try:
        namespace = (ACCOUNT / "namespace").read_text("utf-8").strip()
    except OSError:
        return None
    if not host or not port or not authority.is_file():
        return None
    where = f"[{host}]" if ":" in host else host
    pool = urllib3.PoolManager(ca_certs=str(authority), cert_reqs="CERT_REQUIRED")
    return ApiConnection(f"https://{where}:{port}", pool, _service_account, namespace)


def _service_account() -> dict[str, str]:
    """The token, which the kubelet renews. Raises OSError."""
    token = (ACCOUNT / "token").read_text("utf-8").strip()
    return {"Authorization": f"Bearer {token}"}


def _from_kubeconfig() -> ApiConnection:
    """By the current context of a KUBECONFIG. Raises SettingsError."""
    try:
        from kubernetes import client, config
        from kubernetes.client.rest import RESTClientObject
        from kubernetes.config.config_exception import ConfigException
    except ModuleNotFoundError:
        raise SettingsError(
            "no cluster: no service account in a pod can be read, and for a KUBECONFIG the "
            "Kubernetes client is needed: pip install 'modelsync[kubernetes]'"
        ) from None
    configuration = client.Configuration()
    try:
        config.load_kube_config(client_configuration=configuration)
        _, context = config.list_kube_config_contexts()
    except (ConfigException, OSError) as error:
        raise SettingsError(
            f"no cluster: neither a service account in a pod nor a KUBECONFIG can be read ({error})"
        ) from None

    def login() -> dict[str, str]:
        found = configuration.auth_settings().values()
        return {str(one["key"]): str(one["value"]) for one in found if one["in"] == "header"}

    pool = RESTClientObject(configuration).pool_manager
    namespace = context["context"].get("namespace", "default")
    return ApiConnection(str(configuration.host).rstrip("/"), pool, login, namespace)
