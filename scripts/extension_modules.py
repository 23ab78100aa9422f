"""modelsync with the modules of the predict path as extension modules: `python -m
scripts.extension_modules FOLDER` makes of this checkout a source tree that setuptools builds.

mypyc, which is a part of mypy, translates them into C. All other modules stay as they are, and so
does the source of these: the interpreter takes it where there is no compiled form. Who builds the
tree (`uv build --wheel FOLDER`, `pip install FOLDER`) needs a compiler and the headers of Python;
who installs the wheel needs neither.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

MODULES = (
    "inference/batcher.py",
    "inference/invocation.py",
    "inference/latency.py",
    "inference/loop_model.py",
    "inference/model_calls.py",
    "inference/model_runner.py",
    "inference/pending.py",
    "inference/watchdog.py",
    "models/results.py",
    "observability/counters.py",
    "protocols/json_body.py",
    "server/access_log.py",
    "server/cached_head.py",
    "server/connection.py",
    "server/head_cache.py",
    "server/head_key.py",
    "server/parser.py",
    "server/pipeline.py",
    "server/request.py",
    "server/request_ids.py",
    "server/responses.py",
    "server/router.py",
    "server/state.py",
)
"""What a prediction runs through, from the socket to the model and back."""

OPTIONS = ("--config-file=", "--ignore-missing-imports", "--follow-imports=silent")
"""Of mypy, whose types mypyc reads: the libraries of the service are not there in the build."""

_SETUP = """\
from mypyc.build import mypycify
from setuptools import find_packages, setup

setup(
    packages=find_packages(include=["modelsync*"]),
    package_data={{"modelsync": ["**/*"]}},
    ext_modules=mypycify({arguments!r}, opt_level="3", debug_level="0", group_name="modelsync"),
)
"""

_BUILD_SYSTEM = """\
[build-system]
requires = ["{mypy}", "setuptools>=80"]
build-backend = "setuptools.build_meta"
"""


def write(folder: Path) -> None:
    """Write the source tree into a folder, which must not exist."""
    shutil.copytree(
        ROOT / "modelsync",
        folder / "modelsync",
        ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyc"),
    )
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    (folder / "pyproject.toml").write_text(_with_setuptools(project), "utf-8")
    arguments = [*OPTIONS, *(f"modelsync/{name}" for name in MODULES)]
    (folder / "setup.py").write_text(_SETUP.format(arguments=arguments), "utf-8")


def _with_setuptools(project: str) -> str:
    """Return pyproject.toml with setuptools as its build backend, since uv_build compiles nothing,
    and with the mypy that `make check` runs.
    """
    [mypy] = re.findall(
        r"^mypy==\S+", (ROOT / "requirements-dev.txt").read_text("utf-8"), re.MULTILINE
    )
    build_system = _BUILD_SYSTEM.format(mypy=mypy)
    changed, count = re.subn(r"^\[build-system\]\n(.+\n)+", build_system, project, flags=re.M)
    if count != 1:
        raise ValueError("pyproject.toml has no section [build-system], or several")
    return changed


if __name__ == "__main__":
    write(Path(sys.argv[1]))
