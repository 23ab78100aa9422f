from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from packaging.version import Version

from modelsync import __version__
from modelsync.api import openapi
from modelsync.api.app import create_app, create_context
from modelsync.inference.serving import Service
from tests.api.serving import COMMIT, JSON, a_service, an_empty_service, read, the_examples

GOLDEN = Path(__file__).parent.parent / "golden" / "openapi.json"


def fetched(service: Service, base: str = "/models") -> dict[str, Any]:
    answer = create_app(service).test_client().get(f"{base}/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = read(answer)
    return found


def references(value: Any) -> set[str]:
    match value:
        case dict():
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*(references(item) for item in value.values()))
        case list():
            return set().union(*map(references, value))
    return set()


def at(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for key in reference.removeprefix("#/").split("/"):
        found = found[key]
    return found


@pytest.mark.parametrize(
    "given", [{}, {"baseUrl": ""}, {"MODELSYNC_PREDICT_TOKENS": "p", "MODELSYNC_ADMIN_TOKENS": "a"}]
)
def test_the_document_is_valid_openapi(tmp_path: Path, given: dict[str, str]) -> None:
    """The document is OpenAPI 3.1 and its references resolve, also before the first release."""
    full = a_service(tmp_path, env=given, trained=["Echo"])
    for service in (full, an_empty_service(tmp_path, **given)):
        document = openapi.document(create_context(service))
        validate(document)
        assert document["openapi"].startswith("3.1")
        assert "$defs" not in json.dumps(document)
        for reference in references(document):
            assert at(document, reference)


def test_each_model_has_its_own_schema_and_examples(tmp_path: Path) -> None:
    """Nested and recursive schemas are included; a model that takes any object says so."""
    document = fetched(a_service(tmp_path))
    assert document["info"]["version"] == f"{__version__}+g{COMMIT[:12]}"
    assert not Version(document["info"]["version"]).is_prerelease
    post = document["paths"]["/models/Add"]["post"]
    media = post["requestBody"]["content"]["application/json"]
    schema = at(document, media["schema"]["$ref"])
    assert schema["required"] == ["variables"]
    assert schema["properties"]["variables"]["required"] == ["a"]
    assert media["examples"]["two"]["value"] == {"variables": {"a": 1, "b": 2}}
    assert post["responses"]["200"]["content"]["application/json"]["examples"]["two"]["value"] == {
        "sum": 3
    }
    assert post["summary"] == "Adds <two> & more numbers."
    address = document["components"]["schemas"]["Person.Address"]
    assert "#/components/schemas/Person.Address" in references(address)
    assert "/models/Broken" not in document["paths"]
    echo = at(document, "#/components/schemas/Echo")
    assert echo["properties"]["variables"] == {"type": "object"}


def test_tokens_are_asked_for_where_they_are_set(tmp_path: Path) -> None:
    """Predict tokens close the models' operations; probes are open, a sync never is."""
    for given, closed in (({}, False), ({"MODELSYNC_PREDICT_TOKENS": "p"}, True)):
        paths = openapi.document(create_context(a_service(tmp_path, env=given)))["paths"]
        for path in ("/models/Add", "/models/all"):
            assert ("security" in paths[path]["post"]) is closed
            assert ("401" in paths[path]["post"]["responses"]) is closed
        assert "security" not in paths["/livez"]["get"]
        assert "security" in paths["/models/sync"]["post"]


def test_the_document_is_the_golden_copy(tmp_path: Path) -> None:
    """Clients are generated from it, so a change must show; UPDATE_GOLDEN=1 writes it anew."""
    document = fetched(a_service(tmp_path, trained=["Echo"]))
    for name in ("version", "description"):  # the version of modelsync
        document["info"].pop(name)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(document, indent=2) + "\n")
    assert document == json.loads(GOLDEN.read_text())


def test_every_documented_call_is_answered(tmp_path: Path) -> None:
    """No documented path and method is unknown to the application."""
    service = a_service(tmp_path, lambda _: None)
    app = create_app(service)
    document = openapi.document(create_context(service))
    client = app.test_client()
    for path, operations in document["paths"].items():
        for method in operations:
            assert client.open(path, method=method.upper()).status_code not in {404, 405}, (
                method,
                path,
            )


def test_names_of_operations_are_unique(tmp_path: Path) -> None:
    """Each operationId is unique, because client generators make a function of each."""
    service = a_service(tmp_path, trained=["Add", "Echo"])
    paths = openapi.document(create_context(service))["paths"]
    ids = [operation["operationId"] for path in paths.values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_the_examples_of_the_repository_are_described_as_they_answer(tmp_path: Path) -> None:
    """Each example fits the schema of the document and is answered as the document says."""
    with the_examples(tmp_path) as service:
        document = fetched(service)
        validate(document)
        client = create_app(service).test_client()
        ready = {name for name, model in service.models.items() if not model.spec.trainable}
        assert len(ready) >= 4
        for name in ready:  # the others answer once they are fitted
            model = service.models[name]
            media = document["paths"][f"/models/{name}"]["post"]["requestBody"]["content"][
                "application/json"
            ]
            validator = Draft202012Validator(
                {**media["schema"], "components": document["components"]}
            )
            assert model.examples
            for example in media["examples"].values():
                validator.validate(example["value"])
                answer = client.post(
                    f"/models/{name}", data=json.dumps(example["value"]), headers=JSON
                )
                assert answer.status_code == 200, answer.text
            for example in model.examples:
                answer = client.post(
                    f"/models/{name}",
                    data=json.dumps({"variables": example.variables}),
                    headers=JSON,
                )
                assert answer.json == example.response
