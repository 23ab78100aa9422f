"""Packs the chart as it is published.

`python -m scripts.chart_package --image IMAGE --source URL FOLDER`. In the package the published
image is the default of `image.repository`, and Chart.yaml says where chart, image and source are,
as Artifact Hub shows it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

from scripts.chart_helm import find
from scripts.chart_values import CHART

_IMAGE = "  repository: modelsync\n"
_ROW = '| `image.repository` | `"modelsync"` |'


def write(target: Path, image: str, source: str) -> None:
    """Write the chart to a folder as it is published.

    Raises ValueError if the chart does not have its image where this expects it.
    """
    shutil.copytree(CHART, target)
    _replace(target / "values.yaml", _IMAGE, f"  repository: {image}\n")
    _replace(target / "README.md", _ROW, f'| `image.repository` | `"{image}"` |')
    _replace(target / "README.md", "](../../", f"]({source}/blob/main/")
    chart = yaml.safe_load((target / "Chart.yaml").read_text("utf-8"))
    (target / "Chart.yaml").write_text(
        yaml.safe_dump(_placed(chart, image, source), sort_keys=False, width=120), "utf-8"
    )


def package(folder: Path, image: str, source: str) -> Path:
    """Pack the chart into a folder; the archive's path. Raises FileNotFoundError without Helm."""
    helm = find(3) or find(4)
    if helm is None:
        raise FileNotFoundError("helm is not here: make setup")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        chart = Path(work) / "modelsync"
        write(chart, image, source)
        command = [str(helm), "package", str(chart), "--destination", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (made,) = folder.glob("modelsync-*.tgz")
    return made


def _placed(chart: dict[str, Any], image: str, source: str) -> dict[str, Any]:
    images = [{"name": "modelsync", "image": f"{image}:{chart['appVersion']}"}]
    links = [
        {"name": "Kubernetes", "url": f"{source}/blob/main/docs/kubernetes.md"},
        {"name": "Source", "url": source},
        {"name": "Issues", "url": f"{source}/issues"},
    ]
    listed = {"artifacthub.io/images": images, "artifacthub.io/links": links}
    texts = {name: yaml.safe_dump(value, sort_keys=False) for name, value in listed.items()}
    annotations = {**chart["annotations"], **texts}
    return {**chart, "home": source, "sources": [source], "annotations": annotations}


def _replace(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    if old not in text:
        raise ValueError(f"{path.name} does not hold {old.strip()}")
    path.write_text(text.replace(old, new), "utf-8")


def main() -> None:
    """Pack it as the command line says, and print the archive's path."""
    parser = argparse.ArgumentParser(prog="python -m scripts.chart_package")
    parser.add_argument("--image", required=True, help="repository of the published image")
    parser.add_argument("--source", required=True, help="URL of the source")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    print(package(given.folder, given.image, given.source))


if __name__ == "__main__":
    main()
