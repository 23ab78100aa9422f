"""Generates values.schema.json, with which Helm validates values before it changes the cluster, and
files/formats.json, by which the chart says in words what is wrong.

A value that is a setting has that setting's own pattern, bounds or choices; one that is passed to
Kubernetes unchanged has Kubernetes' own schema; all others follow from their default and the
comment's `@format` and `@schema`. Unknown names are errors everywhere. Written for draft 7, which
Helm 3 and 4 both read, and without lookaheads, which Go's patterns lack.
"""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import Field, fields
from functools import cache
from importlib.resources import files
from typing import Any, get_args

from modelsync.settings import GROUPS, parsers
from modelsync.settings.aliases import Action
from scripts.chart_formats import FORMATS, OBJECT, RESOURCES, Schema, split
from scripts.chart_values import Value, values

KUBERNETES = "v1.37.0-local-strict"
"""The newest release whose schemas kubernetes-validate has."""

WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "io.k8s.api.core.v1.Container": {"imagePullPolicy": ("Always", "IfNotPresent", "Never")},
    "io.k8s.api.core.v1.Toleration": {
        "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
        "operator": ("Exists", "Equal", "Lt", "Gt"),
    },
    "io.k8s.api.core.v1.TopologySpreadConstraint": {
        "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway")
    },
}
"""Fields of Kubernetes that take one of these words, which its schemas do not say."""

TYPES: dict[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    float: {"type": "number"},
    str: {"type": "string"},
    list: {"type": "array"},
    dict: {"type": "object", "additionalProperties": False},
}

_ALIAS = f"(/|(/[A-Za-z0-9._~-]+)+/?) *= *[^,=: ]+ *: *({'|'.join(get_args(Action))})"
_MODEL = "[A-Za-z][A-Za-z0-9_-]*"
_ORIGIN = "[Hh][Tt][Tt][Pp][Ss]?://([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]+)?"
_HOST = "([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?"
_PROTOCOL = f"({'|'.join(get_args(parsers.GitProtocol))})"

PARSERS: dict[str, Schema] = {
    "text": {"type": "string"},
    "path": {"type": "string"},
    "boolean": {"type": "boolean"},
    "seconds": {
        "type": ["string", "number"],
        "pattern": "^([0-9]*[1-9][0-9]*(\\.[0-9]+)?|[0-9]+\\.[0-9]*[1-9][0-9]*) ?(ms|s|m|h)?$",
        "exclusiveMinimum": 0,
        "says": "must be a positive time such as 30, 30s, 500ms or 2m",
    },
    "size": {
        "type": ["string", "integer"],
        "pattern": "^[0-9]*[1-9][0-9]* ?(KiB|MiB|GiB)?$",
        "minimum": 1,
        "says": "must be a positive size such as 10MiB or 65536",
    },
    "protocols": {
        "type": "string",
        "pattern": f"^ *{_PROTOCOL} *(, *{_PROTOCOL} *)*$",
        "says": "must be a comma-separated list of https, ssh, http, file",
    },
    "lfs_url": {
        "type": "string",
        "pattern": "^ *(https?://[^ @?#/]+(/[^ ?#]*)?)? *$",
        "says": "must be a URL such as https://lfs.example.com/team/models, without credentials",
    },
    "service_url": {
        "type": "string",
        "pattern": f"^ *(https?://{_HOST}(/[A-Za-z0-9._~%-]+)*/?)? *$",
        "says": "must be a URL such as http://modelsync-canary:8080, without credentials and query",
    },
    "base_url": {
        "type": "string",
        "pattern": "^([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?$",
        "not": {"enum": ["livez", "readyz", "metrics"]},
        "says": "must be a URL path such as models or api/models, or empty",
    },
    "subdirectory": {
        "type": "string",
        "not": {"pattern": "(^|/)\\.{0,2}/|/\\.{1,2}$|^\\.{1,2}$|//|^/|/$"},
        "says": "must be a relative folder of the repository, without ..",
    },
    "origins": {
        "type": "string",
        "pattern": f"^ *([*]|{_ORIGIN} *(, *{_ORIGIN} *)*)? *$",
        "says": "must be origins such as https://app.example.org, separated by commas, or * alone",
    },
    "parse_aliases": {
        "type": "string",
        "pattern": f"^ *({_ALIAS} *(, *{_ALIAS} *)*)?$",
        "says": "must be a list such as /train=Iris:train,/serve=Iris:predict",
    },
    "name": {
        "type": "string",
        "pattern": f"^{OBJECT}$",
        "says": "must be the name of a Kubernetes object: lower-case letters, digits, - and .",
    },
    "names": {"type": "string"},
    "parse_selection": {
        "type": "string",
        "pattern": f"^ *(({_MODEL} *(, *{_MODEL} *)*|-{_MODEL} *(, *-{_MODEL} *)*),? *)?$",
        "says": "must name the models to serve, or those to leave out, not both",
    },
    "place": {
        "type": "string",
        "pattern": "^ *([^:]*|s3://[^@/ ][^@]*) *$",
        "says": "must be a folder, s3://bucket or s3://bucket/prefix",
    },
    "share": {
        "type": ["string", "number"],
        "pattern": "^(0(\\.[0-9]+)?|1(\\.0+)?|\\.[0-9]+)$",
        "minimum": 0,
        "maximum": 1,
        "says": "must be from 0 to 1",
    },
    "positive": {
        "type": ["string", "number"],
        "pattern": "^([0-9]*[1-9][0-9]*(\\.[0-9]+)?|[0-9]*\\.[0-9]*[1-9][0-9]*)$",
        "exclusiveMinimum": 0,
        "says": "must be a number above 0",
    },
}
"""What the parsers of modelsync/settings/parsers.py accept, but for odd spellings of the same, and
what they say of the rest. Tested against them.
"""


def schema() -> Schema:
    """The schema of all values."""
    root: Schema = {"type": "object", "additionalProperties": False, "properties": {}}
    used: set[str] = set()
    for value in values():
        group = root
        for name in value.path[:-1]:
            group = group["properties"].setdefault(
                name, {"type": "object", "additionalProperties": False, "properties": {}}
            )
        group["properties"][value.path[-1]] = of_value(value, used)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart modelsync",
        **root,
        "definitions": _definitions(used),
    }


def formats() -> Schema:
    """What the templates check: of each value that is no list and no mapping that it is not null,
    and of all others that have a format that format.
    """
    found = {}
    for value in values():
        told = split(_whole(value, set()))[1]
        if value.kubernetes == "core.v1.Container.resources":
            told = {"resources": True}
        if told or not isinstance(value.default, (dict, list)):
            found[value.name] = told
    resources = {name: split(one)[1] for name, one in RESOURCES.items()}
    return {"resources": resources, "values": found}


def text() -> str:
    """The content of values.schema.json."""
    return json.dumps(schema(), indent=1) + "\n"


def formats_text() -> str:
    """The content of files/formats.json."""
    return json.dumps(formats(), indent=1) + "\n"


def of_value(value: Value, used: set[str]) -> Schema:
    """The schema of one value, without what is told in words; `used` gets the definitions of
    Kubernetes that it refers to.
    """
    return {"description": value.doc, **split(_whole(value, used))[0]}


def _whole(value: Value, used: set[str]) -> Schema:
    if value.setting:
        found = of_setting(value.setting)
    elif value.kubernetes:
        found = _kubernetes(value.kubernetes, used)
    else:
        found = TYPES[type(value.default)]
    return {**found, **(FORMATS[value.format] if value.format else {}), **value.schema}


def of_setting(name: str) -> Schema:
    """What a setting accepts; empty where it may be unset. Raises KeyError if there is no such
    setting.
    """
    item = setting_fields()[name]
    found = _of_parser(item.metadata["parse"])
    unset = item.default in (None, "") or (
        item.metadata["shown"] and not _accepts(item, item.metadata["shown"])
    )
    return _or_unset(found) if unset else found


def _or_unset(found: Schema) -> Schema:
    """The schema that takes "" as well."""
    if found == {"type": "string"}:
        return found
    if choices := found.get("enum"):
        return {"enum": ["", *choices]}
    if found["type"] == "integer":
        says = f"must be a whole number from {found['minimum']} to {found['maximum']}, or empty"
        return {**found, "type": ["integer", "string"], "pattern": "^$", "says": says}
    return {"anyOf": [{"const": ""}, found]}


@cache
def setting_fields() -> dict[str, Field[Any]]:
    """Every setting by its name."""
    return {item.metadata["name"]: item for kind in GROUPS.values() for item in fields(kind)}


def _of_parser(parse: Any) -> Schema:
    bound = inspect.getclosurevars(parse).nonlocals
    if "low" in bound:
        return {"type": "integer", "minimum": bound["low"], "maximum": bound["high"]}
    if "kind" in bound:
        return {"enum": list(get_args(bound["kind"]))}
    return PARSERS.get(parse.__name__, {"type": "string"})


def _accepts(item: Field[Any], raw: str) -> bool:
    try:
        item.metadata["parse"](raw)
    except ValueError:
        return False
    return True


@cache
def _api() -> dict[str, Schema]:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / KUBERNETES
    definitions: dict[str, Schema] = json.loads((folder / "_definitions.json").read_text("utf-8"))[
        "$defs"
    ]
    return definitions


def _kubernetes(path: str, used: set[str]) -> Schema:
    kind, _, name = path.rpartition(".")
    if name[0].isupper():  # a type, of which the value holds some fields
        whole: Schema = _local(_api()[f"io.k8s.api.{path}"], used)
        return {key: one for key, one in whole.items() if key != "required"}
    found: Schema = _local(_api()[f"io.k8s.api.{kind}"]["properties"][name], used)
    return found


def _local(found: Any, used: set[str]) -> Any:
    """The schema with references into our own definitions, without descriptions."""
    if isinstance(found, list):
        return [_local(item, used) for item in found]
    if not isinstance(found, dict):
        return found
    if reference := found.get("$ref"):
        name = reference.rpartition("/")[2]
        used.add(name)
        return {"$ref": f"#/definitions/{name}"}
    return {
        name: {key: _local(one, used) for key, one in below.items()}
        if name == "properties"
        else _local(below, used)
        for name, below in found.items()
        if name not in {"description", "format", "default"} and not re.match("x-", name)
    }


def _definitions(used: set[str]) -> Schema:
    """All definitions that are referred to, those by other definitions included."""
    made: Schema = {}
    while missing := used - set(made):
        for name in missing:
            made[name] = _local(_api()[name], used)
    for kind, words in WORDS.items():
        for field, choices in words.items():
            if kind in made:
                made[kind]["properties"][field] = {"enum": [*choices, None]}
    return dict(sorted(made.items()))
