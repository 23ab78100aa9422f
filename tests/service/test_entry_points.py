"""Plain functions, and classes of all kinds, behind a real service: in workers and in runners."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fixtures.service import Service, serving, write_example, write_model
from tests.models.test_entry_points import WAYS

FUNCTIONS = ("FnTimer", "FnAsync", "FnBoth", "FnPartialKw", "FnCallable", "FnBoundMethod")
CLASSES = ("AsyncPlain", "AsyncRun", "Timer", "DecoSingleton", "Instance", "AbcReexport", "GetAttr")
NAMES = (*FUNCTIONS, *CLASSES)


@pytest.fixture(scope="module", params=["auto", "model"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service with these models, in workers or each in a runner."""
    folder = tmp_path_factory.mktemp(f"entry-{request.param}")
    names = NAMES if request.param == "auto" else (*FUNCTIONS, "AsyncPlain")
    for name in names:
        way = WAYS[name]
        path = write_model(folder / "models", name, way["etls"])
        for file, text in way.get("files", {}).items():
            (path / file).write_text(text)
        write_example(path, way["variables"], way["answer"])
    with serving(folder, folder / "models", MODELSYNC_ISOLATION=request.param) as service:
        yield service


def served(service: Service) -> list[dict[str, Any]]:
    found = (service.get(f"/models/{name}") for name in NAMES)
    return [one.json() for one in found if one.status_code == 200]


def test_each_answers_as_its_example(service: Service) -> None:
    """Alone, several at a time, and through `/all`."""
    states = served(service)
    assert {one["state"] for one in states} == {"ready"}, [one["reason"] for one in states]
    names = [one["name"] for one in states]
    for name in names:
        with ThreadPoolExecutor(4) as clients:
            calls = [clients.submit(service.post, name, WAYS[name]["variables"]) for _ in range(8)]
        assert [one.result().json() for one in calls] == [WAYS[name]["answer"]] * 8, name
    answers = service.post("all", {"x": 2}).json()
    assert {name: answers[name] for name in names} == {name: WAYS[name]["answer"] for name in names}


def test_what_a_function_is_is_shown(service: Service) -> None:
    """Its state names it; the API reference has its schema and its example; nothing trains it."""
    state = service.get("/models/FnTimer").json()
    assert (state["class"], state["function"]) == (None, "transform_predict")
    assert service.get("/models/FnBoth").json()["batched"]
    document = service.get("/models/openapi.json").json()
    assert document["components"]["schemas"]["FnTimer"]
    assert "put" not in document["paths"]["/models/FnTimer"]
    wrong = service.post("FnTimer", {"x": "two"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "x")
