"""The two images: what each has and lacks, and how much of them is pulled."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.image.container import Start, inside, marks

pytestmark = marks

MODELS = ["numpy", "pandas", "sklearn", "scipy", "pyarrow", "pandera", "onnx", "onnxruntime"]

IMPORT_ALL = """
import importlib, json, pkgutil, re, sys, warnings
warnings.simplefilter("ignore")
failed = {}
tops, sys.argv[1:] = sys.argv[1:], []
for top in tops:
    path = importlib.import_module(top).__path__
    modules = pkgutil.walk_packages(path, top + ".", lambda _: None)
    for name in [top, *(module.name for module in modules)]:
        if name.endswith(".__main__"):
            continue
        try:
            importlib.import_module(name)
        except ImportError as error:
            if re.search(r"\\btests?\\b|ELF|shared object|undefined symbol", str(error)):
                failed[name] = str(error)
        except BaseException:
            pass
print(json.dumps(failed))
"""

OF_DEVELOPERS = ("onnx.defs.gen_doc", "scipy.special._precompute.")
"""Modules that import tests: the libraries' own developers run them."""


def pulled(image: str, folder: Path, compression: str) -> float:
    """Megabytes of an image in a registry."""
    subprocess.run(
        ["buildah", "push", "--quiet", "--compression-format", compression, image, f"oci:{folder}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return sum(blob.stat().st_size for blob in (folder / "blobs" / "sha256").iterdir()) / 1e6


@pytest.mark.parametrize(("target", "megabytes"), [("image", 350), ("slim", 140)])
def test_its_compressed_size(
    tmp_path: Path,
    target: str,
    megabytes: float,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    """The image with pandas and scikit-learn is pulled in 350 MB, the one without in 140 MB."""
    size = pulled(request.getfixturevalue(target), tmp_path / "pushed", "gzip")
    record_property("megabytes", round(size))
    assert size < megabytes


def test_every_module_of_the_libraries_can_be_imported(image: str) -> None:
    """What was left out of the libraries, nothing but tools of their developers misses."""
    failed: dict[str, str] = json.loads(
        inside(image, "python", "-c", IMPORT_ALL, *MODELS).splitlines()[-1]
    )
    assert {name for name in failed if not name.startswith(OF_DEVELOPERS)} == set(), failed


def test_slim_serves_plain_models(start: Start, slim: str) -> None:
    """It has no library for models, answers for its example, and its predict path is compiled."""
    container = start(slim).ready()
    money = {"amount": 100, "source": "EUR", "target": "USD"}
    assert container.post("/models/Exchange", {"variables": money})["currency"] == "USD"
    code = f"import importlib.util as i; print([n for n in {MODELS} if i.find_spec(n)])"
    assert inside(slim, "python", "-c", code).strip() == "[]"
    assert inside(slim, "modelsync", "version").rstrip().endswith("predict path compiled)")


def test_slim_says_what_a_model_lacks(slim: str) -> None:
    """A model whose library is not there is told by name, with what to do."""
    code = """
        mkdir -p $TMPDIR/models/Frame && cd $TMPDIR/models/Frame
        printf 'import pandas\\ndef transform_predict(n: int):\\n    return {"y": n}\\n' >etls.py
        ! modelsync check .. 2>&1
    """
    said = inside(slim, "sh", "-c", code)
    assert "add the line pandas to requirements-models.txt" in said


@pytest.mark.parametrize("target", ["image", "slim"])
def test_packages_can_be_added(target: str, request: pytest.FixtureRequest) -> None:
    """apt and dpkg find nothing broken, so an image made from this one may install more."""
    image = request.getfixturevalue(target)
    assert inside(image, "dpkg", "--audit", user=0) == ""
    inside(image, "apt-get", "check", user=0)
