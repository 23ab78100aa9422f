"""The chart as it is published: with the published image, and what Artifact Hub shows."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import chart_helm, chart_package
from scripts.chart_values import CHART

IMAGE = "ghcr.io/you/modelsync"
SOURCE = "https://github.com/you/modelsync"
KINDS = {"added", "changed", "deprecated", "removed", "fixed", "security"}
ROOT = CHART.parents[1]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chart_package.package(tmp_path_factory.mktemp("dist"), IMAGE, SOURCE)


def read(archive: Path, name: str) -> str:
    """A file of the packed chart."""
    with tarfile.open(archive) as opened:
        file = opened.extractfile(f"modelsync/{name}")
        assert file
        return file.read().decode()


def test_the_published_image_is_the_default(archive: Path) -> None:
    """Whoever installs the published chart names no image; everything else is as in the source."""
    helm = chart_helm.find(3) or chart_helm.find(4)
    assert helm
    made = [
        subprocess.run(
            [str(helm), "template", "shop", str(chart), "--set", "auth.generateAdminToken=false"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for chart in (archive, CHART)
    ]
    version = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))["appVersion"]
    assert f"image: {IMAGE}:{version}" in made[0]
    assert made[0].replace(f"image: {IMAGE}:", "image: modelsync:") == made[1]


def test_artifact_hub_knows_the_chart(archive: Path) -> None:
    """License, images, links and what has changed, in the form that Artifact Hub reads."""
    chart: dict[str, Any] = yaml.safe_load(read(archive, "Chart.yaml"))
    source = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    assert {name: chart[name] for name in source if name != "annotations"} == {
        name: source[name] for name in source if name != "annotations"
    }
    assert (chart["home"], chart["sources"]) == (SOURCE, [SOURCE])
    found = {
        name.removeprefix("artifacthub.io/"): yaml.safe_load(text)
        for name, text in chart["annotations"].items()
    }
    assert found["license"] == "Apache-2.0"
    assert found["images"] == [{"name": "modelsync", "image": f"{IMAGE}:{chart['appVersion']}"}]
    for change in found["changes"]:
        assert change["kind"] in KINDS
        assert change["description"]
    for link in found["links"]:
        path = link["url"].partition("/blob/main/")[2]
        assert link["url"].startswith(SOURCE)
        assert not path or (ROOT / path).exists()


def test_the_readme_leads_to_the_source(archive: Path) -> None:
    """No link of the packed README leads out of the package by a relative path."""
    text = read(archive, "README.md")
    assert "](../" not in text
    assert f"]({SOURCE}/blob/main/docs/kubernetes.md)" in text
    assert f'| `image.repository` | `"{IMAGE}"` |' in text


def test_a_chart_without_the_image_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A values.yaml in which the image is elsewhere is an error, and no package with the wrong
    image.
    """
    monkeypatch.setattr(chart_package, "_IMAGE", "  repository: elsewhere\n")
    with pytest.raises(ValueError, match=r"values\.yaml does not hold repository: elsewhere"):
        chart_package.write(tmp_path / "chart", IMAGE, SOURCE)
