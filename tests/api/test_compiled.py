"""Whether a compiled form answers for a model, wherever it is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator

from modelsync.api import compiled
from modelsync.api.app import create_app
from modelsync.inference.serving import Service
from modelsync.models.artefact_facts import ArtefactFacts
from modelsync.models.compilation import Compilation
from modelsync.models.types import ModelName
from tests.api.serving import a_service, read
from tests.api.test_metrics import scraped, value
from tests.api.test_pages import BROWSER, CHROMIUM, dom, served

COMPILED = Compilation(
    "compiled",
    backend="onnxruntime (double)",
    speedup=148.2,
    speedup_batch=9.4,
    rows=2113,
    max_difference=2.3e-16,
    size=4100,
    estimator_size=9000,
    seconds=1.2,
)
REFUSED = Compilation(
    "refused",
    "1 of 40 rows differ; the first is <17>: it is yes, compiled no",
    rows=40,
    difference="onnxruntime: 1 of 40 rows differ; the first is <17>: it is yes, compiled no",
)
OFF = Compilation("off", "MODELSYNC_COMPILE is off")
SUMMARY = (
    "compiled: onnxruntime (double), 148 times as fast (16 rows: 9.4 times); "
    "2,113 rows compared, labels equal, numbers within 2e-16"
)


def with_compilations(service: Service, **found: Compilation) -> Service:
    assert service.release
    for name, compilation in found.items():
        entries = service.release.models
        entry = entries[ModelName(name)]
        entries[ModelName(name)] = replace(entry, compilation=compilation)
    return service


@pytest.fixture
def service(tmp_path: Path) -> Service:
    found = {"Add": COMPILED, "Echo": REFUSED, "Person": OFF, "Broken": REFUSED}
    return with_compilations(a_service(tmp_path), **found)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return create_app(service).test_client()


def test_a_model_says_how_it_was_proven_or_why_it_is_not_compiled(client: FlaskClient) -> None:
    assert read(client.get("/models/Add"))["compiled"] == {
        "state": "compiled",
        "reason": None,
        "backend": "onnxruntime (double)",
        "speedup": 148.2,
        "speedup_batch": 9.4,
        "rows": 2113,
        "max_difference": 2.3e-16,
        "difference": None,
        "size": 4100,
        "estimator_size": 9000,
        "seconds": 1.2,
        "summary": SUMMARY,
    }
    refused = read(client.get("/models/Echo"))["compiled"]
    assert (refused["state"], refused["backend"], refused["speedup"]) == ("refused", None, None)
    assert refused["summary"] == (
        "not compiled: 1 of 40 rows differ; the first is <17>: it is yes, compiled no"
    )
    for name in ("Raises", "Broken"):  # the one has no estimator, the other does not serve
        assert read(client.get(f"/models/{name}"))["compiled"] is None


def test_the_description_of_it_is_that_of_openapi(client: FlaskClient) -> None:
    document = read(client.get("/models/openapi.json"))
    operation = document["paths"]["/models/Add"]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema == {"$ref": "#/components/schemas/modelsync.Status"}
    validator = Draft202012Validator({**schema, "components": document["components"]})
    described = document["components"]["schemas"]["modelsync.Compiled"]["properties"]
    for name in ("Add", "Echo", "Person", "Raises"):
        found = read(client.get(f"/models/{name}"))
        validator.validate(found)
        assert found["compiled"] is None or found["compiled"].keys() == described.keys()
    assert not validator.is_valid({"compiled": {"state": "perhaps", "summary": ""}})


def test_the_list_tells_it_of_all(client: FlaskClient) -> None:
    """For programs as for one model, for people in a line; nothing where it is switched off."""
    listed = {one["name"]: one["compiled"] for one in read(client.get("/models/"))["models"]}
    for name in ("Add", "Echo", "Person", "Raises"):
        assert listed[name] == read(client.get(f"/models/{name}"))["compiled"]
    page = " ".join(client.get("/models/", headers=BROWSER).text.split())
    assert f'<p class="reason">C{SUMMARY[1:]}</p>' in page
    assert "Not compiled: 1 of 40 rows differ; the first is &lt;17&gt;: it is yes" in page
    assert page.count("ompiled: ") == 2
    assert "MODELSYNC_COMPILE" not in page


def test_the_metrics_tell_what_answers(client: FlaskClient) -> None:
    found = scraped(client)
    assert value(found, "model_compiled", model="Add", backend="onnxruntime (double)") == 1
    assert value(found, "model_compiled_speedup", model="Add") == 148.2
    assert value(found, "model_compiled", model="Echo", backend="") == 0
    for name in ("Echo", "Raises"):
        assert value(found, "model_compiled_speedup", model=name) is None
    assert not [labels for name, labels in found if "compiled" in name and "Raises" in str(labels)]


def test_a_form_that_does_not_load_here_is_not_said_to_answer(service: Service) -> None:
    """After an upgrade of a library the release says what was; this process says what is."""
    assert service.release
    name = ModelName("Add")
    entry, loaded = service.release.models[name], service.models["Add"]
    spec = replace(entry.spec, compiled=Path("compiled", "Add"))
    service.release.models[name] = replace(entry, spec=spec)
    client = create_app(service).test_client()
    for backend, serves in (("", 0), ("onnxruntime (double)", 1)):
        loaded.artefact = ArtefactFacts(("a",), "LogisticRegression", backend=backend)
        found = scraped(client)
        assert value(found, "model_compiled", model="Add", backend=backend) == serves
        assert (value(found, "model_compiled_speedup", model="Add") is not None) == serves
        said = compiled.described(service, service.entries[name])
        assert said
        assert said["summary"].startswith("compiled: " if serves else "not compiled: its compiled")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_reference_shows_it_in_a_browser(service: Service) -> None:
    with served(service) as url:
        assert f">C{SUMMARY[1:]}</p>" in dom(f"{url}/models/docs#Add")
        assert "Not compiled: 1 of 40 rows" in dom(f"{url}/models/docs#Echo")
        shown = dom(f"{url}/models/docs#Raises")
        assert 'id="compiled" hidden=""' in shown
