"""Figure 14: 500 folders that import shared code are read and listed within 2 s, and a change of a
file that 3 of them use checks these 3.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from bench.folders import helpers_of, source_of
from bench.reporting import Figure, Line, median, progress
from modelsync import settings
from modelsync.sync.update import Updater
from tests.fixtures.git import Repository

FOLDERS = 500
USERS = 3
RUNS = 5
SECONDS = 2.0

LISTING = """
import sys
from pathlib import Path
from modelsync.models.codegen.generator import generate
from modelsync.models.discovery.folders import discover
from modelsync.models.discovery.work_tree import LocalRepository
from modelsync.models.types import ModelEntry
root = Path(sys.argv[1])
repository = LocalRepository.of(root)
folders = discover(root, subdir=repository.subdir, shared=repository.copied(Path(sys.argv[2])))
entries = [
    ModelEntry.of(one, Path('models_serve', one.name), fault=one.fault, release="r")
    for one in folders
]
text = generate(entries, base_url="models", release="r")
assert not any(one.fault for one in folders), folders
assert sum(one.shared is not None for one in folders) == len(folders), folders
"""
"""What an update does with an export, in a process of its own."""

COMMON = {
    "common/__init__.py": "",
    "common/rare.py": "def rare():\n    return 1\n",
    "common/features.py": "from utils import scale\n\n\ndef named(x):\n    return scale(x)\n",
    "utils.py": "def scale(x):\n    return x * 2\n" * 40,
}

TRIVIAL = """from common.{module} import {name}

class Model:
    def transform_predict(self):
        return {{"value": {name}.__name__}}
"""


def measure(folder: Path) -> Figure:
    lines = [*_listing(folder / "listing"), *_change(folder / "change")]
    notes = [
        "A folder of the first line is one of figure 2 that imports two shared modules, one of "
        "them through another: the whole life of a fresh process, in which imports are followed, "
        "versions computed and the shared files copied.",
        "The change is pushed to a bare repository and fetched from there. Counted are the models "
        f"whose version is another one; {FOLDERS} trivial models, of which {USERS} import the file "
        "that changes and all others another one.",
    ]
    return Figure(f"14. {FOLDERS} folders with shared code", "shared_code", lines, notes)


def _listing(top: Path) -> list[Line]:
    progress(f"static check of {FOLDERS} folders with shared code")
    for name, content in COMMON.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(content)
    (top / ".git").mkdir()
    for number in range(FOLDERS):
        model = top / "models" / f"Model{number:03}"
        model.mkdir(parents=True)
        imports = "from common.features import named\nfrom utils import scale\n"
        (model / "etls.py").write_text(imports + source_of(number))
        (model / "helpers.py").write_text(helpers_of(number))
        (model / "model.pkl").write_bytes(os.urandom(20_000))
    together, processor = [], []
    for run in range(RUNS):
        start, before = time.perf_counter(), os.times()
        given = [str(top / "models"), str(top / f"shared-{run}")]
        done = subprocess.run(
            [sys.executable, "-c", LISTING, *given], capture_output=True, check=False, text=True
        )
        together.append(time.perf_counter() - start)
        after = os.times()
        processor.append(
            after.children_user + after.children_system
            - before.children_user - before.children_system
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return [
        median("static check and generation together", together, "s", SECONDS),
        median(
            "… processor time of it, which others on the machine do not lengthen", processor, "s"
        ),
    ]


def _change(folder: Path) -> list[Line]:
    progress(f"a change of a file that {USERS} of {FOLDERS} models use")
    folder.mkdir()
    repository = Repository(folder / "repository.git")
    repository.push(COMMON | dict(_trivial()))
    config = settings.load({
        "gitPath": repository.path.as_uri(), "MODELSYNC_GIT_PROTOCOLS": "file",
        "MODELSYNC_HOME": str(folder / "home"), "MODELSYNC_SYNC_TIMEOUT": "20m",
    })  # fmt: skip
    first = Updater(config).run()
    assert not first.faults, first.faults
    repository.push({"common/rare.py": "def rare():\n    return 2\n"})
    start = time.perf_counter()
    second = Updater(config).run()
    seconds = time.perf_counter() - start
    before, after = first.release.models, second.release.models
    changed = [name for name in after if after[name].version != before[name].version]
    return [
        Line("models that are checked and loaded anew", len(changed), "", USERS),
        Line("the update that does so", seconds, "s"),
    ]


def _trivial() -> list[tuple[str, str]]:
    uses = [("rare", "rare")] * USERS + [("features", "named")] * (FOLDERS - USERS)
    return [
        (f"Model{number:03}/etls.py", TRIVIAL.format(module=module, name=name))
        for number, (module, name) in enumerate(uses)
    ]
