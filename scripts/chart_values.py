"""Reads the values of the Helm chart from values.yaml: name, default, and the comment above.

A comment describes a value after `# -- `, and may hold tags, which values.yaml itself explains:
`@setting`, `@sets`, `@kubernetes`, `@format`, `@schema`. A mapping without a description is a group
of values.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[1] / "helm" / "modelsync"
TAGS = ("setting", "sets", "kubernetes", "format", "schema")


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the chart."""

    path: tuple[str, ...]
    default: Any
    doc: str = ""
    setting: str = ""
    """The setting that it is."""
    sets: tuple[str, ...] = ()
    """Settings over which it decides."""
    kubernetes: str = ""
    """The type and field of Kubernetes' API that it is, such as core.v1.PodSpec.affinity, or the
    type of which it holds some fields, such as core.v1.PodSpec.
    """
    format: str = ""
    """What its text must look like, one of `scripts.chart_formats.FORMATS`."""
    schema: dict[str, Any] = field(default_factory=dict)
    """What its JSON schema holds besides."""

    @property
    def name(self) -> str:
        """The name as `--set` takes it."""
        return ".".join(self.path)


def values(text: str | None = None) -> Iterator[Value]:
    """Every value in the order of the file.

    Raises ValueError naming one that has a tag that is not known.
    """
    text = (CHART / "values.yaml").read_text("utf-8") if text is None else text
    root = yaml.compose(text, yaml.SafeLoader)
    yield from _below(root, (), text.splitlines())


def _below(node: Any, path: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    for key, below in node.value:
        here = (*path, key.value)
        doc, tags = _comment(lines, key.start_mark.line, ".".join(here))
        group = isinstance(below, yaml.MappingNode) and not below.flow_style and not doc
        if group:
            yield from _below(below, here, lines)
            continue
        yield Value(
            here,
            yaml.safe_load(yaml.serialize(below)),
            doc,
            tags.get("setting", ""),
            tuple(tags.get("sets", "").split()),
            tags.get("kubernetes", ""),
            tags.get("format", ""),
            json.loads(tags.get("schema", "{}")),
        )


def _comment(lines: list[str], line: int, name: str) -> tuple[str, dict[str, str]]:
    """The description and the tags of the comment that ends above `line`."""
    start = line
    while start and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    doc: list[str] = []
    tags: dict[str, str] = {}
    for raw in lines[start:line]:
        text = raw.lstrip().removeprefix("#").strip()
        if match := re.match(r"@(\w+) (.+)", text):
            if match[1] not in TAGS:
                raise ValueError(f"{name}: @{match[1]} is no tag; there are {', '.join(TAGS)}")
            tags[match[1]] = match[2]
        elif text.startswith("-- "):
            doc = [text.removeprefix("-- ")]
        elif doc:
            doc.append(text)
    return " ".join(doc), tags
