"""values.yaml, its schema and its table: complete, strict, and never away from the service's
settings.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from modelsync import __version__, settings
from scripts import chart_docs, chart_schema
from scripts.chart_values import CHART, Value, values
from tests.chart.rendering import in_ci

VALUES = list(values())
SCHEMA = json.loads((CHART / "values.schema.json").read_text("utf-8"))
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

DEPARTS = {
    "MODELSYNC_SYNC_CRON": "a cluster looks for commits every few minutes, a laptop once a day"
}
"""Settings whose default in the chart is another one, and why."""

OPEN = {
    "global": "Helm's own",
    "test.variables": "whatever the model takes",
    "extraObjects.items.anyOf": "objects of any kind",
}
"""Values that hold names which nobody can know."""


def text(value: Any) -> str:
    """A value as the ConfigMap holds it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.name)
def test_every_value_is_described(value: Value) -> None:
    """Above each value stands what it means, and so it does in the chart's README."""
    assert len(value.doc) > 3
    assert f"| `{value.name}` |" in (CHART / "README.md").read_text("utf-8")


def test_every_setting_can_be_set() -> None:
    """Each setting is a value or is decided over by one; what the chart fixes is named with the
    reason.
    """
    known = {entry.name for entry in settings.entries()}
    taken = {name for value in VALUES for name in (value.setting, *value.sets) if name}
    assert taken | set(chart_docs.FIXED) <= known
    assert not taken & set(chart_docs.FIXED)
    by_file = {f"{name.removesuffix('_FILE')}" for name in taken}
    assert known - taken - by_file - set(chart_docs.FIXED) == set()


@pytest.mark.parametrize(
    "value", [value for value in VALUES if value.setting], ids=lambda value: value.setting
)
def test_defaults_are_the_settings(value: Value) -> None:
    """A value that is a setting has its default, but where the chart says why not."""
    item = chart_schema.setting_fields()[value.setting]
    if value.setting in DEPARTS:
        assert item.metadata["parse"](text(value.default)) != item.default
        return
    written = item.metadata["parse"](text(value.default)) if value.default != "" else None
    assert written == item.default or (written is None and not text(value.default))


SAMPLES: dict[str, list[Any]] = {
    "boolean": [True, False],
    "seconds": [
        "30s",
        "500ms",
        "2m",
        "1h",
        "1.5m",
        45,
        0.5,
        "0s",
        "0",
        0,
        "fast",
        "-1s",
        "30 s",
        "0.0s",
        "10d",
        "",
    ],
    "size": ["10MiB", "1GiB", 65536, "65536", "0", 0, "10MB", "-1", "1.5MiB"],
    "protocols": ["https", "https,ssh", "https, file", "ftp", "", "https;ssh", ","],
    "base_url": ["models", "api/models", "", "metrics", "livez", "a b", "a//b", "a?b"],
    "subdirectory": [
        "",
        "models",
        "a/b",
        ".hidden",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "a//b",
        "./a",
        "a..b",
    ],
    "service_url": [
        "",
        "http://modelsync-canary",
        "https://[::1]:8443/prefix/",
        "http://10.0.0.7:8080",
        "modelsync-canary",
        "ftp://modelsync-canary",
        "http://",
        "http://:80",
        "http://user:password@host",
        "http://host?query",
        "http://host/a b",
    ],
    "name": ["modelsync", "a-b.c", "A", "-a", "a_b"],
}


@pytest.mark.parametrize(
    ("parser", "sample"),
    [(name, sample) for name, found in SAMPLES.items() for sample in found],
    ids=repr,
)
def test_schema_and_settings_agree(parser: str, sample: Any) -> None:
    """What the schema accepts, the service accepts, and the other way round."""
    parse = getattr(settings.parsers, parser)
    assert accepts(chart_schema.PARSERS[parser], sample) == parses(parse, text(sample))


def test_every_parser_has_a_schema() -> None:
    """No setting is left to any text but those that take any."""
    for name, item in chart_schema.setting_fields().items():
        if (parse := item.metadata.get("parse")) and name not in chart_docs.FIXED:
            bounded = {"low", "kind"} & set(inspect.getclosurevars(parse).nonlocals)
            assert bounded or parse.__name__ in {*chart_schema.PARSERS, "<lambda>"}, name


@pytest.mark.parametrize(
    ("setting", "good", "bad"),
    [
        ("MODELSYNC_THREADS", [1, 1024], [0, 1025, "many", 1.5]),
        ("MODELSYNC_WORKERS", ["", 1], [0, "many"]),
        ("MODELSYNC_ON_BROKEN_MODEL", ["previous", "drop", "reject"], ["ignore", ""]),
        ("MODELSYNC_LOG_LEVEL", ["debug"], ["trace"]),
        (
            "MODELSYNC_GIT_MODELS",
            ["", "Churn", "Churn, Price", "-Churn,-a_b"],
            ["Ch*", "Churn,-Price", "a b", "-", 1],
        ),
        (
            "MODELSYNC_ALIASES",
            ["", "/=Iris:predict", "/train=Iris:train", "/a/b=Iris:predict, /c=Iris:status"],
            ["train=Iris:train", "/train=Iris", "/train=Iris:fit", "/train", 1],
        ),
    ],
)
def test_bounds_and_choices_are_the_settings(setting: str, good: list[Any], bad: list[Any]) -> None:
    """Numbers have the setting's bounds, choices its words; empty only where it may be unset."""
    schema = chart_schema.of_setting(setting)
    assert all(accepts(schema, one) for one in good)
    assert not any(accepts(schema, one) for one in bad)


def accepts(schema: Any, sample: Any) -> bool:
    return bool(jsonschema.Draft7Validator(schema).is_valid(sample))


def parses(parse: Any, raw: str) -> bool:
    try:
        parse(raw)
    except ValueError:
        return False
    return True


def test_defaults_fit_the_schema() -> None:
    """values.yaml is valid itself, and the schema is a valid one of draft 7."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(DEFAULTS)


def objects(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every schema of an object below a schema."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield path, schema
        for name, below in schema.items():
            yield from objects(below, path if name == "properties" else f"{path}.{name}".strip("."))
    elif isinstance(schema, list):
        for below in schema:
            yield from objects(below, path)


def test_the_schema_is_strict() -> None:
    """Every object lists its names, or says what each of them holds; the exceptions are named."""
    found = {
        path for path, schema in objects(SCHEMA) if schema.get("additionalProperties", True) is True
    }
    assert found == set(OPEN)


def test_references_lead_somewhere() -> None:
    """Each reference of the schema is to a definition in it, and each definition is referred to."""
    referred = set(re.findall(r'"#/definitions/([^"]+)"', json.dumps(SCHEMA)))
    assert referred == set(SCHEMA["definitions"])


def holds(found: Any, path: tuple[str, ...]) -> bool:
    for name in path:
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True


def test_everything_is_set_somewhere() -> None:
    """ci/full-values.yaml sets every value but what excludes another, which ci/pod-values.yaml
    sets.
    """
    full, pod = in_ci("full"), in_ci("pod")
    missing = {value.name for value in VALUES if not holds(full, value.path)}
    # That is in a Secret of one's own there.
    left = {name for name in missing if not holds(pod, tuple(name.split(".")))}
    assert left == {"git.sshKey"}


def test_the_chart_is_for_this_version() -> None:
    """appVersion is the service's version, and so the default tag of the image."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", chart["version"])
    assert chart["kubeVersion"] == ">=1.30.0-0"


def test_upgrades_start_from_an_older_version() -> None:
    """tests/chart/previous holds the chart as it was released before this version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    previous = [
        path.stem for path in (CHART.parents[1] / "tests" / "chart" / "previous").glob("*.tgz")
    ]
    assert previous
    assert f"modelsync-{chart['version']}" not in previous


def test_an_unknown_tag_is_an_error() -> None:
    """A misspelt tag in values.yaml does not pass as words."""
    with pytest.raises(ValueError, match=r"a\.b: @settings is no tag"):
        list(values("a:\n  # -- text\n  # @settings X\n  b: 1\n"))


def test_values_are_read_as_they_are_written() -> None:
    """A mapping without a description is a group; comments of several lines are one text."""
    found = list(
        values(
            'a:\n  # -- one\n  # two\n  # @sets X Y\n  b: {c: 1}\n# words\n\n# -- three\nd: "x"\n'
        )
    )
    assert found == [
        Value(("a", "b"), {"c": 1}, "one two", sets=("X", "Y")),
        Value(("d",), "x", "three"),
    ]
