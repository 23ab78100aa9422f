"""A service of a few models that are made in memory: what the HTTP tests talk to."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel
from werkzeug.test import TestResponse

from modelsync import settings
from modelsync.inference.circuit_breaker import CircuitBreaker
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.serving import Service
from modelsync.models.binding import methods
from modelsync.models.data_schema import DataSchema
from modelsync.models.discovery import folders
from modelsync.models.types import (
    Example,
    Fault,
    LoadedModel,
    ModelEntry,
    ModelName,
    ModelSpec,
    TreeHash,
)
from modelsync.observability import counters
from modelsync.observability.counters import Counters
from modelsync.releases.store import Release
from tests.waiting import patient, setting, until

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "c0ffee" + "0" * 34
VERSION = TreeHash("ab" * 20)
JSON = {"Content-Type": "application/json"}


class Address(BaseModel):
    street: str
    parent: Address | None = None


class Person(BaseModel):
    name: str
    address: Address
    plan: Literal["small", "large"] = "small"


def echo(variables: dict[str, Any]) -> dict[str, Any]:
    """Gives back what it got.

    Nothing else.
    """
    return {"got": variables}


def add(a: int, b: int = 2) -> dict[str, Any]:
    """Adds <two> & more numbers."""
    return {"sum": a + b}


def person(person: Person) -> dict[str, Any]:
    """Knows people."""
    return {"name": person.name}


def raises(variables: dict[str, Any]) -> dict[str, Any]:
    """Always fails."""
    raise LookupError("no such thing")


EXAMPLES = {
    "Add": (Example("two", {"a": 1, "b": 2}, {"sum": 3}), Example("one", {"a": 1}, {"sum": 3})),
}

MODELS: dict[str, Callable[..., Any]] = {
    "Add": add,
    "Echo": echo,
    "Person": person,
    "Raises": raises,
}

FAULT = Fault(
    "load", "ModuleNotFoundError: No module named 'xgboost'", "etls.py", 3, "add the line xgboost"
)


def environment(home: Path, **given: str) -> dict[str, str]:
    return {"MODELSYNC_HOME": str(home), "MODELSYNC_PREDICT_TIMEOUT": setting(5), **given}


def a_service(
    home: Path,
    request_sync: Callable[[bool], None] | None = None,
    models: dict[str, Callable[..., Any]] = MODELS,
    env: Mapping[str, str] = {},
    trained: Sequence[str] = (),
    schema: DataSchema | None = None,
    **given: str,
) -> Service:
    """A service with every model of MODELS, `Old` which is stale, `Broken` which is not loaded;
    those that are `trained` have the method `fit`, and the `schema`.
    """
    config = settings.load(environment(home, **env, **given))
    loaded = {name: _loaded(name, method) for name, method in {**models, "Old": echo}.items()}
    for name in trained:
        loaded[name].spec = replace(loaded[name].spec, methods=("fit",), schema=schema)
    entries = {ModelName(name): _entry(name) for name in loaded}
    for name in trained:
        entry = entries[ModelName(name)]
        entries[ModelName(name)] = replace(entry, spec=loaded[name].spec)
    entries[ModelName("Old")] = _entry("Old", state="stale", wanted_version="cd" * 20, fault=FAULT)
    entries[ModelName("Broken")] = _entry("Broken", state="failed", fault=FAULT)
    release = Release(COMMIT, COMMIT, "git", "", entries, path=home / "releases" / COMMIT)
    faults = {"Broken": str(FAULT)}
    dataplane = DataPlane(
        {name: InProcessRunner(model) for name, model in loaded.items()},
        faults,
        Counters(counters.folder(config.state.home), list(loaded)),
        release=COMMIT,
        threads=4,
        max_queue=config.server.max_queue,
        timeout=config.server.predict_timeout,
    )
    return Service(config, release, faults, dataplane, request_sync)


@contextmanager
def the_examples(
    home: Path, request_sync: Callable[[bool], None] | None = None, **given: str
) -> Iterator[Service]:
    """The examples in `models_serve/`, loaded as a release loads them, and unloaded again
    afterwards.
    """
    config = settings.load(environment(home, **given))
    found = folders.discover(ROOT / "models_serve")
    loaded: dict[str, ModelRunner] = {folder.name: InProcessRunner.load(folder) for folder in found}
    entries = {folder.name: _entry(folder.name, version=folder.version) for folder in found}
    release = Release(COMMIT, COMMIT, "git", "", entries, path=home / "releases" / COMMIT)
    counts = Counters(counters.folder(config.state.home), list(loaded))
    dataplane = DataPlane(
        loaded, {}, counts, release=COMMIT, threads=4, max_queue=100, timeout=patient(20)
    )
    try:
        yield Service(config, release, {}, dataplane, request_sync)
    finally:
        for runner in loaded.values():
            runner.close()


def an_empty_service(home: Path, **given: str) -> Service:
    """A service before its first release."""
    config = settings.load(environment(home, **given))
    dataplane = DataPlane(
        {},
        {},
        Counters(counters.folder(config.state.home), []),
        release=None,
        threads=1,
        max_queue=1,
        timeout=1,
    )
    return Service(config, None, {}, dataplane)


def switched_off(service: Service, name: str) -> Service:
    """The service after calls of that model have ended workers three times."""
    service.dataplane.breaker = CircuitBreaker({name: VERSION})
    for moment in range(3):
        service.dataplane.breaker.record_crash([name], moment)
    return service


def _loaded(name: str, method: Callable[..., Any]) -> LoadedModel:
    call, schema = methods.bind(method)
    return LoadedModel(
        ModelSpec(ModelName(name), Path(name), VERSION),
        call,
        schema=schema,
        doc=method.__doc__ or "",
        examples=EXAMPLES.get(name, ()),
    )


def _entry(name: str, state: Any = "ready", version: str = VERSION, **more: Any) -> ModelEntry:
    wanted = more.pop("wanted_version", VERSION)
    spec = ModelSpec(ModelName(name), Path("models_serve", name), TreeHash(version))
    return ModelEntry(spec, state, wanted, COMMIT, **more)


def body(**variables: Any) -> bytes:
    return json.dumps({"variables": variables}).encode()


def read(response: TestResponse) -> Any:
    """The JSON of a response from Flask's test client."""
    return response.get_json()


def is_problem(response: Any, status: int) -> dict[str, Any]:
    """The problem document of a response from Flask's test client, checked for the one shape of all
    errors.
    """
    assert response.status_code == status, response.data
    assert response.headers["Content-Type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(response.data)
    assert {"title", "status", "detail", "model", "release", "request_id"} <= set(found)
    assert found["status"] == status
    assert found["title"]
    assert found["detail"]
    assert found["request_id"] == response.headers["X-Request-ID"]
    return found


# --- the same over a real socket ------------------------------------------------------------------

APP = """
from pathlib import Path
from modelsync.api.app import create_app
from tests.api.serving import a_service
app = create_app(a_service(Path({home!r}), lambda: None, **{given!r}))
"""


@contextmanager
def gunicorn(
    folder: Path, worker_class: str = "gthread", options: Sequence[str] = (), **given: str
) -> Iterator[tuple[str, int]]:
    """The service under gunicorn with one of its own worker classes; gives its address."""
    (folder / "served.py").write_text(APP.format(home=str(folder / "home"), given=given))
    log = folder / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "served:app", "--bind", "127.0.0.1:0"]
    command += ["--worker-class", worker_class, "--threads", "4", "--no-control-socket", *options]
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, stderr=output
        )
    try:
        found = until(
            lambda: re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text()),
            message="gunicorn listens",
        )
        yield "127.0.0.1", int(found[1])
    finally:
        process.terminate()
        process.wait(timeout=patient(40))


def exchange(
    address: tuple[str, int], request: bytes, timeout: float = 30.0
) -> tuple[int, dict[str, str], bytes]:
    """Send bytes as they are; the status, headers (in lower case) and body of the first answer."""
    with socket.create_connection(address, timeout=patient(timeout)) as client:
        client.sendall(request)
        file = client.makefile("rb")
        status = int(file.readline().split()[1])
        headers = {}
        while (line := file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, file.read(int(headers.get("content-length", "0")))
