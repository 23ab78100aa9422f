"""Generates the block of settings in the chart's values.yaml, and the table in its README.

A setting of the service without a chart value of its own is the value `settings.<NAME>`, so each
new setting can be set in the chart at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelsync.settings import Entry, entries
from scripts import chart_schema
from scripts.chart_values import CHART, Value, values

SETTINGS = (
    "  # settings:begin (from modelsync/settings/, by `make generated`)\n",
    "  # settings:end\n",
)
TABLE = ("<!-- values:begin -->\n", "<!-- values:end -->\n")

FIXED = {
    "MODELSYNC_HOST": "a pod listens on all of its addresses",
    "MODELSYNC_PORT": "the Service knows the port",
    "MODELSYNC_HOME": "a volume is mounted there",
    "MODELSYNC_GIT_REVISION": "comes from the pod's annotation",
    "MODELSYNC_GIT_PINNED": "follows from sync.mode",
    "MODELSYNC_GIT_PROVEN": "comes from what the rollouts remember",
    "MODELSYNC_ROLLOUT_DEPLOYMENT": "is the chart's own",
    "MODELSYNC_ROLLOUT_NAMESPACE": "is the release's own",
    "MODELSYNC_ROLLOUT_STATE": "is the chart's own",
    "MODELSYNC_JOB_TEMPLATE": "is the chart's own",
}
"""Settings that are the chart's business, and why."""


_BOOLEANS = {"off", "on", "yes", "no"}
"""Words that YAML 1.1 takes for booleans."""


def values_yaml() -> str:
    """values.yaml with its block of settings renewed."""
    text = (CHART / "values.yaml").read_text("utf-8")
    begin, end = SETTINGS
    without = _between(text, SETTINGS, "")
    taken = {name for value in values(without) for name in (value.setting, *value.sets) if name}
    block = "".join(_setting(entry) for entry in entries() if _is_free(entry, taken))
    return without.replace(begin + end, begin + block + end)


def readme() -> str:
    """README.md of the chart with its table renewed."""
    rows = "".join(
        f"| `{value.name}` | {_default(value.default)} | {_cell(doc(value))} |\n"
        for value in values()
    )
    table = f"| value | default | meaning |\n|---|---|---|\n{rows}"
    return _between((CHART / "README.md").read_text("utf-8"), TABLE, table)


def doc(value: Value) -> str:
    """The description with the setting that the value stands for."""
    return (
        f"{value.doc} (`{value.setting}`)"
        if value.setting and value.setting not in value.path
        else value.doc
    )


def _is_free(entry: Entry, taken: set[str]) -> bool:
    """Whether the setting has no other value. Secrets come as files, and never through the
    environment.
    """
    return not (entry.secret or entry.name in taken or entry.name in FIXED)


def _setting(entry: Entry) -> str:
    default: Any = entry.default
    if re.fullmatch(r"\d+", entry.default):
        default = int(entry.default)
    elif entry.default in {"True", "False"}:
        default = entry.default == "True"
    shown = (
        default
        if isinstance(default, str)
        and re.fullmatch(r"[\w.]+", default)
        and default not in _BOOLEANS
        else json.dumps(default)
    )
    lines = (f"# -- {entry.doc}", f"# @setting {entry.name}", f"{entry.name}: {shown}")
    return "".join(f"  {line}\n" for line in lines)


def _between(text: str, markers: tuple[str, str], content: str) -> str:
    """The text with the part between two lines replaced. Raises ValueError if one of them is
    missing.
    """
    begin, end = markers
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}{content}{end}{after}"


def _default(default: Any) -> str:
    return f"`{_cell(json.dumps(default))}`" if default not in ("", [], {}) else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def generated() -> Iterator[tuple[Path, str]]:
    """The chart's generated files and their contents, values.yaml first: the others follow from it
    as it then is.
    """
    yield CHART / "values.yaml", values_yaml()
    yield CHART / "values.schema.json", chart_schema.text()
    yield CHART / "files" / "formats.json", chart_schema.formats_text()
    yield CHART / "README.md", readme()
