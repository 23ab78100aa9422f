"""Objects against the schemas of Kubernetes and of the definitions of other kinds. Unknown fields
are errors.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate import utils

from tests.chart.rendering import Object

OLDEST, NEWEST = "1.30", "1.37"
"""Releases of Kubernetes: the one that Chart.yaml asks for, and the newest whose schemas are here.
"""

_CUSTOM = {"monitoring.coreos.com", "gateway.networking.k8s.io", "keda.sh"}
"""Groups of kinds that are no part of Kubernetes."""

utils.schema_contents = cache(utils.schema_contents)  # it would read 2 MB for each object


def validate(one: Object, version: str = NEWEST) -> None:
    """Raises jsonschema.ValidationError where Kubernetes would not take the object as it is."""
    if one["apiVersion"].split("/")[0] in _CUSTOM:
        jsonschema.validate(one, _custom(one["apiVersion"], one["kind"]))
    else:
        kubernetes_validate.validate(one, version, strict=True)


@cache
def _custom(version: str, kind: str) -> Any:
    """The schema of a kind that is no part of Kubernetes, from its definition."""
    for path in (Path(__file__).parent / "crds").glob("*.yaml"):
        spec = yaml.load(path.read_text("utf-8"), yaml.CSafeLoader)["spec"]
        if (spec["group"], spec["names"]["kind"]) == (version.split("/")[0], kind):
            (served,) = (one for one in spec["versions"] if one["name"] == version.split("/")[1])
            schema = _closed(served["schema"]["openAPIV3Schema"])
            schema["properties"]["metadata"] = {}
            return schema
    raise AssertionError(f"no schema for {version} {kind}")


def _closed(schema: Any) -> Any:
    """The same without room for fields that nobody knows, which an API server would drop without a
    word.
    """
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: _closed(below) for name, below in schema.items()}
    if isinstance(found.get("properties"), dict) and found.get("type") == "object":
        found.setdefault("additionalProperties", False)
    if str(found.get("pattern", "")).startswith("^(?i)"):  # Go's spelling
        found["pattern"] = "(?i)^" + found["pattern"].removeprefix("^(?i)")
    return found
