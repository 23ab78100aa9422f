"""The way to the API server that a pod has, without the Kubernetes client."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelsync.cluster import connection
from tests.fixtures.git import GitServer


def test_a_pod_needs_no_kubernetes_client() -> None:
    """Its hundreds of models would take most of the time in which a run starts; so would what only
    a check or the store needs.
    """
    program = (
        "import sys, modelsync.rollout.job, modelsync.rollout.by_hand, modelsync.cluster.jobs\n"
        "heavy = {'kubernetes', 'sqlalchemy', 'pandas', 'numpy', 'sklearn', 'flask'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_pod_asks_by_its_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server is where the variables say, trusted by the account's CA alone; the token is
    read anew for each request, because the kubelet renews it.
    """
    with GitServer(tmp_path / "repository.git", tls=True) as server:
        for name, content in (("namespace", "models\n"), ("token", "first")):
            (tmp_path / name).write_text(content)
        (tmp_path / "ca.crt").write_bytes(Path(server.certificate).read_bytes())
        monkeypatch.setattr(connection, "ACCOUNT", tmp_path)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
        found = connection.connect()
        assert (found.server, found.namespace) == (f"https://127.0.0.1:{server.port}", "models")
        assert found.login() == {"Authorization": "Bearer first"}
        (tmp_path / "token").write_text("second\n")
        assert found.login() == {"Authorization": "Bearer second"}
        url = f"{found.server}/repository.git/info/refs?service=git-upload-pack"
        assert found.pool.request("GET", url, retries=False).status == 200
