"""The chart rendered: its objects, found by kind and name, and what a container of theirs would
see.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts import chart_helm
from scripts.chart_values import CHART

Object = dict[str, Any]

RELEASE, NAMESPACE = "shop", "pricing"
FOLLOWING = {"git": {"path": "https://git.example.com/models.git"}}
"""The least that follows a repository."""


class Objects:
    """What one rendering gave."""

    def __init__(self, objects: list[Object]) -> None:
        self.all = objects

    def one(self, kind: str, suffix: str = "") -> Object:
        """The only object of a kind whose name ends in `suffix` behind the chart's full name."""
        name = f"{self.fullname}{suffix}"
        (found,) = (
            one for one in self.all if (one["kind"], one["metadata"]["name"]) == (kind, name)
        )
        return found

    @property
    def fullname(self) -> str:
        """The name of the Service of the pods that serve."""
        (name,) = (
            one["metadata"]["name"]
            for one in self.all
            if one["kind"] == "Service"
            and one["metadata"]["labels"]["app.kubernetes.io/component"] == "server"
        )
        return str(name)

    @property
    def names(self) -> list[str]:
        """`Kind/name` of each object."""
        return sorted(f"{one['kind']}/{one['metadata']['name']}" for one in self.all)

    @property
    def kinds(self) -> set[str]:
        return {one["kind"] for one in self.all}

    def pods(self) -> Iterator[tuple[str, Object]]:
        """Each pod or pod template as `metadata` and `spec`, under the name of its component."""
        for one in self.all:
            if one["kind"] == "Pod":
                yield "test", one
            elif (
                template := one.get("spec", {})
                .get("jobTemplate", one)
                .get("spec", {})
                .get("template")
            ):
                yield template["metadata"]["labels"]["app.kubernetes.io/component"], template

    def pod(self, component: str = "server") -> Object:
        return dict(self.pods())[component]

    def container(self, component: str = "server") -> Object:
        """The chart's own container of a pod."""
        found: Object = self.pod(component)["spec"]["containers"][0]
        return found

    def environment(self, component: str = "server", **given: str) -> dict[str, str]:
        """What the container's process would see; `given` is what the cluster fills in. Absent
        there: not set.
        """
        container = self.container(component)
        names = [
            source["configMapRef"]["name"]
            for source in container["envFrom"]
            if "configMapRef" in source
        ]
        found: dict[str, str] = {}
        for one in self.all:
            if one["kind"] == "ConfigMap" and one["metadata"]["name"] in names:
                found |= one["data"]
        for variable in container["env"]:
            if "value" in variable:
                found[variable["name"]] = variable["value"]
        return found | given


def rendered(
    values: Mapping[str, Any] | None = None, *, release: str = RELEASE, helm: Path | None = None
) -> Objects:
    """The objects for these values, as Helm 3 gives them where it is here."""
    return Objects(json.loads(_rendered(json.dumps(values or {}), release, helm)))


@cache
def _rendered(values: str, release: str, helm: Path | None) -> str:
    return json.dumps(
        chart_helm.render(json.loads(values), release=release, namespace=NAMESPACE, helm=helm)
    )


def refused(values: Mapping[str, Any]) -> str:
    """Helm's message for values that it refuses; fails where it does not."""
    try:
        chart_helm.render(dict(values), release=RELEASE)
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    raise AssertionError(f"helm accepted {values}")


def in_ci(name: str) -> dict[str, Any]:
    """The values of ci/<name>-values.yaml."""
    found: dict[str, Any] = yaml.safe_load(
        (CHART / "ci" / f"{name}-values.yaml").read_text("utf-8")
    )
    return found


CI = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))
