"""The generated list of routes: a golden copy, and a live run of what was generated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from modelsync.models.codegen.generator import generate, run
from modelsync.models.types import Fault, ModelEntry, ModelName, ModelSpec, ModelState, TreeHash

GOLDEN = Path(__file__).parent.parent / "golden" / "serve_models.py"


class Recording:
    """Routes that remember what was registered."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def model(self, name: str, **given: Any) -> None:
        self.calls.append((name, given))

    def unavailable(self, name: str, *, reason: str) -> None:
        self.calls.append((name, reason))

    def all(self) -> None:
        self.calls.append("all")


def entry(
    name: str,
    state: ModelState = "ready",
    version: str = "a" * 40,
    fault: Fault | None = None,
    **given: Any,
) -> ModelEntry:
    spec = ModelSpec(ModelName(name), Path("models_serve", name), TreeHash(version), **given)
    return ModelEntry(spec, state, TreeHash("c" * 40), "r1", fault)


ENTRIES = [
    entry(
        "Fraud",
        "stale",
        class_name="transform_predict",
        fault=Fault("load", "ValueError: no", "etls.py", 3),
    ),
    entry("Churn", class_name="Churn", writes_self=True),
    entry("Exchange", version="b" * 40, class_name="Exchange", is_async=True),
    entry("Wine", artefact="model.joblib"),
    entry(
        "Bad",
        "failed",
        "",
        Fault("static", "LFS pointer: model.pkl", "model.pkl", hint="commit the file itself"),
    ),
]
EVIL = '"""\n\\"\'); import os; os._exit(9) # {{ x }} \udc80 ü'


def recorded(text: str, path: Path) -> list[Any]:
    path.write_text(text, "utf-8")
    routes = Recording()
    run(path, routes)
    return routes.calls


def test_it_reads_as_the_golden_copy() -> None:
    """People read the generated file; UPDATE_GOLDEN=1 writes the copy anew."""
    text = generate(ENTRIES, base_url="models", release="1f0c9ab2")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


SERVED = {"version": "a" * 40}


def test_it_runs(tmp_path: Path) -> None:
    """It registers each model once, sorted, then the route for all."""
    assert recorded(
        generate(ENTRIES, base_url="models", release="1f0c9ab2"), tmp_path / "serve_models.py"
    ) == [
        ("Bad", "model.pkl: LFS pointer: model.pkl (commit the file itself)"),
        (
            "Churn",
            {"folder": "models_serve/Churn", "class_name": "Churn", "writes_self": True, **SERVED},
        ),
        (
            "Exchange",
            {
                "folder": "models_serve/Exchange",
                "class_name": "Exchange",
                "version": "b" * 40,
                "is_async": True,
            },
        ),
        ("Fraud", {"folder": "models_serve/Fraud", "class_name": "transform_predict", **SERVED}),
        ("Wine", {"folder": "models_serve/Wine", "artefact": "model.joblib", **SERVED}),
        "all",
    ]


def test_nothing_that_comes_from_a_repository_becomes_code(tmp_path: Path) -> None:
    """Quotes, newlines and backslashes in a name or a reason stay text."""
    evil = EVIL.encode("utf-8", "backslashreplace").decode()
    entries = [entry(evil, "failed", "", Fault("name", evil)), entry("Good", class_name=evil)]
    calls = recorded(generate(entries, base_url="", release=evil), tmp_path / "serve_models.py")
    assert calls[0] == (evil, evil)
    assert calls[1][1]["class_name"] == evil


@pytest.mark.parametrize(
    ("base", "route"),
    [("", "POST /Churn "), ("models", "POST /models/Churn "), ("a/b", "POST /a/b/Churn ")],
)
def test_routes_are_listed_below_the_base(base: str, route: str) -> None:
    """The docstring lists the URLs with their prefix."""
    text = generate(ENTRIES, base_url=base, release="r")
    assert route in text
    assert text == generate(list(reversed(ENTRIES)), base_url=base, release="r")


def test_a_release_without_models(tmp_path: Path) -> None:
    """An empty list is a valid file too."""
    assert recorded(generate([], base_url="models", release="r"), tmp_path / "serve_models.py") == [
        "all"
    ]
