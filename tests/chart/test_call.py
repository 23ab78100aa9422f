"""What `helm test` runs, against a real service, and what NOTES.txt tells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import chart_helm
from scripts.chart_values import CHART
from tests.chart.rendering import FOLLOWING, NAMESPACE, RELEASE, in_ci, rendered
from tests.fixtures.service import Service, answers, serving, write_model
from tests.waiting import patient

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One of the examples, for those who have a token."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "tokens").write_text("first,second\n")
    settings = {
        "MODELSYNC_WORKERS": "1",
        "MODELSYNC_PREDICT_TOKENS_FILE": str(folder / "tokens"),
        "baseUrl": "api/v1",
    }
    models = folder / "models_serve"
    shutil.copytree(ROOT / "models_serve" / "Exchange", models / "Exchange")
    with serving(folder, models, env=settings) as one:
        yield one


def call(url: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the container of `helm test` as the chart writes it."""
    container = rendered().container("test")
    _, *arguments = container["command"]
    given = {one["name"]: one["value"] for one in container["env"]}
    environment = {
        **given,
        "PATH": "/nonexistent",
        "URL": url,
        "BASE": "api/v1",
        "TIMEOUT": "1",
        **environ,
    }
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=patient(60),
    )


def test_it_calls_a_model_that_has_an_example(service: Service, tmp_path: Path) -> None:
    """Without values it finds a model and calls it; what it sent and got is told."""
    file = tmp_path / "token"
    file.write_text("second")
    done = call(service.url, TOKEN_FILE=str(file))
    assert done.returncode == 0, done.stderr
    assert f"POST {service.url}/api/v1/Exchange " in done.stdout
    assert ': 200 {"amount"' in done.stdout


def test_it_calls_what_the_values_say(service: Service, tmp_path: Path) -> None:
    """With test.model and test.variables it calls that."""
    file = tmp_path / "token"
    file.write_text("first,second")
    variables = '{"amount": 7, "source": "EUR"}'
    done = call(service.url, TOKEN_FILE=str(file), MODEL="Exchange", VARIABLES=variables)
    assert done.returncode == 0, done.stderr
    assert '/api/v1/Exchange {"amount": 7, "source": "EUR"}: 200 {"amount": 7.0' in done.stdout


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({}, "answered 401"),
        ({"URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9 is not ready"),
        ({"BASE": "no"}, "404"),
    ],
)
def test_it_fails_with_the_reason(service: Service, environ: dict[str, str], message: str) -> None:
    """`helm test` fails and says why: no token, no service, a wrong prefix."""
    done = call(environ.get("URL", service.url), **environ)
    assert done.returncode == 1
    assert message in done.stderr


def test_it_needs_no_example(tmp_path: Path) -> None:
    """A model that takes no variables is called without; where none can be called, a service that
    is ready passes, and it is told that nothing was called.
    """
    models = tmp_path / "models_serve"
    write_model(models, "Answers", answers(1, "Answers"))
    write_model(models, "Breaks", code("Breaks", "self", "1 / 0"))
    write_model(models, "Needs", code("Needs", "self, x: int", "{'x': x}"))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as one:
        for environ, status, said in (
            ({}, 0, '/models/Answers {}: 200 {"value": 1}'),
            ({"MODEL": "Needs"}, 0, "is ready. Nothing was called: what Needs can be called with"),
            (
                {"MODEL": "Needs", "VARIABLES": '{"x": 3}'},
                0,
                '/models/Needs {"x": 3}: 200 {"x": 3}',
            ),
            ({"MODEL": "Breaks"}, 1, "/models/Breaks {}: 500"),
            ({"MODEL": "Other"}, 1, "/models/Other answered 404"),
        ):
            done = call(one.url, BASE="models", **environ)
            assert said in done.stdout + done.stderr, environ
            assert done.returncode == status, environ


def code(name: str, parameters: str, result: str) -> str:
    return f"class {name}:\n    def transform_predict({parameters}):\n        return {result}\n"


def test_it_is_removed_once_it_went_well() -> None:
    """The pod of a test that went well does not stay behind; Helm prints what it said."""
    annotations = rendered().pod("test")["metadata"]["annotations"]
    assert annotations == {
        "helm.sh/hook": "test",
        "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        "helm.sh/hook-output-log-policy": "hook-succeeded,hook-failed",
    }


def notes(values: dict[str, Any]) -> str:
    """NOTES.txt as Helm 4 shows it; Helm 3 asks a cluster first."""
    if (helm := chart_helm.find(4)) is None:
        pytest.skip("Helm 4 is not here: make helm4")
    command = [
        str(helm),
        "install",
        RELEASE,
        str(CHART),
        "--dry-run=client",
        "--namespace",
        NAMESPACE,
        "--values",
        "-",
    ]
    done = subprocess.run(
        command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=patient(60)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:\n")[2]


def test_notes_tell_how_to_call() -> None:
    """After an installation the URL and a line of curl are shown, with what reaches the service."""
    inside = notes({})
    assert "serves the models in its image" in inside
    assert "http://shop-modelsync.pricing:80/models/" in inside
    assert "curl -s http://127.0.0.1:8080/models/usage\n" in inside
    assert "get secret shop-modelsync-auth -o jsonpath='{.data.admin-tokens}'" in inside
    ingress = {
        "enabled": True,
        "hosts": ["m.example.com"],
        "tls": [{"secretName": "a", "hosts": ["m.example.com"]}],
    }
    outside = notes({**FOLLOWING, "ingress": ingress, "auth": {"predictTokens": ["a"]}})
    assert (
        'curl -s https://m.example.com/models/usage -H "Authorization: Bearer $TOKEN"\n' in outside
    )
    assert "create job --from=cronjob/shop-modelsync-rollout shop-modelsync-now" in outside


def test_notes_name_only_what_the_ingress_leads_to() -> None:
    """Where models are named, no URL that another release answers, or nobody."""
    said = notes(in_ci("keda"))
    assert "\n  curl -s http://models.example.com/models/Fraud\n" in said
    assert "\n  curl -s http://models.example.com/models/Slow\n" in said
    assert "/usage" not in said
