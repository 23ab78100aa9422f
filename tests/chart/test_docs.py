"""docs/kubernetes.md: what it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from scripts.chart_values import values
from tests.chart.rendering import FOLLOWING, rendered

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "kubernetes.md").read_text("utf-8")
NAMES = {value.name for value in values()}
GROUPS = {name.rpartition(".")[0] for name in NAMES} - {""}
BLOCKS = [
    document
    for block in re.findall(r"^```yaml\n(.*?)^```", DOCS, re.MULTILINE | re.DOTALL)
    for document in yaml.safe_load_all(block)
]


@pytest.mark.parametrize("page", ["docs/kubernetes.md", "helm/modelsync/README.md"])
def test_every_link_leads_somewhere(page: str) -> None:
    """Files that a page names exist."""
    names = re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8"))
    assert names
    for name in names:
        assert ((ROOT / page).parent / name).exists(), name


def test_every_value_is_one() -> None:
    """What is written like a value of the chart is one, or a group of them."""
    known = {name.partition(".")[0] for name in NAMES}
    written = set(re.findall(r"`([a-z]\w+(?:\.\w+)+)[:=`]", DOCS)) | set(
        re.findall(r"--set ([\w.]+)=", DOCS)
    )
    named = {
        name
        for name in written
        if name.partition(".")[0] in known and name != "settings.MODELSYNC_"
    }
    assert len(named) > 20
    for name in named:
        assert (
            name in NAMES | GROUPS or name.rpartition(".")[0] in NAMES or name.endswith("_...")
        ), name


def test_examples_render() -> None:
    """Each example of values is accepted, those of Argo CD and Flux too."""
    assert len(BLOCKS) >= 5
    for block in BLOCKS:
        if "rules" in block:  # of prometheus-adapter
            continue
        match block.get("kind"):
            case None:
                values = block
            case "Application":
                values = block["spec"]["source"]["helm"]["valuesObject"]
            case "HelmRelease":
                values = block["spec"]["values"]
            case _:
                continue
        assert rendered({**FOLLOWING, **values}).all


def test_queries_ask_for_what_is_exported() -> None:
    """Each metric of ours in the docs and in the values is one of `/metrics`."""
    files = (ROOT / "modelsync" / "api").glob("*.py")
    source = "".join(path.read_text("utf-8") for path in files)
    families = set(re.findall(r'"(modelsync_[a-z_]+)"', source))
    named = set(re.findall(r"\b(modelsync_[a-z_]+)(?=[{\[`])", DOCS))
    assert "modelsync_request_duration_seconds_sum" in named
    made = {
        rule["name"]["as"] for block in BLOCKS for rule in block.get("rules", {}).get("custom", ())
    }
    for name in named - made:
        assert name.removesuffix("_sum").removesuffix("_total") in families, name


def test_commands_name_what_the_chart_makes() -> None:
    """Objects in the commands are those of a release called modelsync."""
    training = {"enabled": True, "schedule": "0 2 * * *"}
    database = {"url": "postgresql://modelsync@database/modelsync"}
    values = {**FOLLOWING, "training": training, "database": database}
    objects = {name.lower() for name in rendered(values, release="modelsync").names}
    named = re.findall(r"\b(deployment|service|cronjob|configmap)[/ ](modelsync[\w-]*)", DOCS)
    assert len(named) > 5
    for kind, name in named:
        assert f"{kind}/{name}" in objects, f"{kind}/{name}"


def test_every_event_is_explained() -> None:
    """Each Event that a rollout writes stands in the table, and no other."""
    source = "".join(
        path.read_text("utf-8") for path in (ROOT / "modelsync" / "rollout").glob("*.py")
    )
    written = set(re.findall(r'"((?:Rollout|Canary)[A-Z]\w+)"', source))
    assert len(written) >= 5
    assert set(re.findall(r"^\| `((?:Rollout|Canary)\w+)`", DOCS, re.MULTILINE)) == written


def test_the_components_are_there() -> None:
    """Each folder of k8s/components is a line of the one file to edit, and the other way round."""
    lines = re.findall(
        r"components/([\w-]+)", (ROOT / "k8s" / "kustomization.yaml").read_text("utf-8")
    )
    assert set(lines) == {path.name for path in (ROOT / "k8s" / "components").iterdir()}
