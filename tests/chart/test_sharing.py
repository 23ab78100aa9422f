"""Several releases of one repository behind one host (`git.models`): who answers for which path."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from modelsync import settings
from tests.chart.rendering import FOLLOWING, Objects, refused, rendered

HOST = "models.example.com"
GATEWAY = {"enabled": True, "parentRefs": [{"name": "public"}]}


def release(name: str, models: list[str], **more: Any) -> Objects:
    values = {
        "git": {**FOLLOWING["git"], "models": models},
        "ingress": {"enabled": True, "hosts": [HOST]},
        "gateway": GATEWAY,
        "rollout": {"follower": {"enabled": False}},  # which has a path of its own
    }
    return rendered(values | more, release=name)


def paths(objects: Objects) -> list[tuple[str, str, str]]:
    """Path, type and Service of each line of the Ingress."""
    (rule,) = objects.one("Ingress")["spec"]["rules"]
    assert rule["host"] == HOST
    return [
        (one["path"], one["pathType"], one["backend"]["service"]["name"])
        for one in rule["http"]["paths"]
    ]


def answering(path: str, *releases: Objects) -> str:
    """The Service that nginx sends a path to, as a controller merges the releases' Ingresses: a
    Prefix is the start of a text there.
    """
    lines = [line for one in releases for line in paths(one)]
    for place, kind, service in sorted(lines, key=lambda line: -len(line[0])):
        if path == place if kind == "Exact" else path.startswith(place):
            return service
    return ""


def test_a_release_that_names_models_has_their_paths_alone() -> None:
    """The other one has what is left: all models that it does not leave to others, and /all."""
    heavy = release("heavy", ["Price", "Fraud"])
    rest = release("rest", ["-Price", "-Fraud"])
    assert paths(heavy) == [
        ("/models/Price", "Exact", "heavy-modelsync"),
        ("/models/Price/", "Prefix", "heavy-modelsync"),
        ("/models/Fraud", "Exact", "heavy-modelsync"),
        ("/models/Fraud/", "Prefix", "heavy-modelsync"),
    ]
    assert paths(rest)[-1] == ("/models", "Prefix", "rest-modelsync")
    for path, service in {
        "/models/Price": "heavy",
        "/models/Price/versions/3": "heavy",
        "/models/PriceIndex": "rest",
        "/models/price": "rest",
        "/models/Churn": "rest",
        "/models/all": "rest",
        "/models": "rest",
        "/metrics": "",
    }.items():
        assert answering(path, heavy, rest) == (service and f"{service}-modelsync"), path
    # Its pods, or what rolls out for it.
    assert answering("/models/sync", heavy, rest).startswith("rest-modelsync")


def test_the_route_goes_by_segments() -> None:
    """A PathPrefix of Gateway API takes no other model; the same Service answers."""
    (rule,) = release("heavy", ["Price", "Fraud"]).one("HTTPRoute")["spec"]["rules"]
    assert rule["matches"] == [
        {"path": {"type": "PathPrefix", "value": "/models/Price"}},
        {"path": {"type": "PathPrefix", "value": "/models/Fraud"}},
    ]
    assert [one["name"] for one in rule["backendRefs"]] == ["heavy-modelsync"]
    *_, rule = release("rest", ["-Price"]).one("HTTPRoute")["spec"]["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/models"}}]


def test_one_follower_is_asked_from_outside() -> None:
    """That of the release which answers for all that no other one names; the others look by
    themselves.
    """
    following = {"rollout": {"follower": {"enabled": True}}}
    rest = release("rest", ["-Price"], **following)
    assert ("/models/sync", "Exact", "rest-modelsync-follower") in paths(rest)
    heavy = release("heavy", ["Price"], **following)
    assert [path for path, _, _ in paths(heavy)] == ["/models/Price", "/models/Price/"]


def test_models_at_the_root_of_a_host() -> None:
    """With an empty baseUrl no path begins with two slashes."""
    heavy = release("heavy", ["Price"], baseUrl="")
    assert [path for path, _, _ in paths(heavy)] == ["/Price", "/Price/"]
    (rule,) = heavy.one("HTTPRoute")["spec"]["rules"]
    assert rule["matches"][0]["path"]["value"] == "/Price"


@pytest.mark.parametrize(
    ("models", "takes", "leaves"),
    [
        ([], {"Price", "Churn"}, set()),
        (["Price", "Fraud"], {"Price", "Fraud"}, {"Churn"}),
        (["-Price"], {"Churn"}, {"Price"}),
    ],
)
def test_pods_and_rollout_have_the_selection(
    models: list[str], takes: set[str], leaves: set[str]
) -> None:
    """As the service reads it; another one starts other pods, and the check goes by it."""
    objects = release("shop", models)
    for component in ("server", "rollout"):
        found = settings.load(objects.environment(component)).git.models
        assert all(map(found.takes, takes)), component
        assert not any(map(found.takes, leaves)), component


def test_another_selection_starts_other_pods() -> None:
    sums = [
        release("shop", models).pod()["metadata"]["annotations"]["checksum/settings"]
        for models in ([], ["Price"], ["Price", "Fraud"], ["-Price"])
    ]
    assert all(one != other for one, other in pairwise(sums))
    assert len(set(sums)) == len(sums)


def test_models_of_the_image_are_selected_too() -> None:
    """Without a repository."""
    objects = rendered({"git": {"models": ["Iris"]}})
    assert settings.load(objects.environment()).git.models.named == {"Iris"}


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (["Price", "-Fraud"], "git.models has models to serve (Price) and models to leave out"),
        (["Price", "Price"], "unique"),
        (["Price/"], "git.models"),
        (["*"], "git.models"),
        (["all"], "git.models"),
        ("Price,Fraud", "git.models"),
    ],
)
def test_what_selects_no_model_is_refused(models: Any, message: str) -> None:
    """By Helm, before a pod does."""
    said = refused({"git": {**FOLLOWING["git"], "models": models}})
    assert message in said.replace("/git/models", "git.models")
