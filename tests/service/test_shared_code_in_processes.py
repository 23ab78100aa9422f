"""Shared code in other threads and processes than those that loaded it, in a real service."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.fixtures.service import Service, serving, write_example, write_model
from tests.models.repositories import pickled

UTILS = """
import threading
LOCK = threading.Lock()

class Scaler:
    by = 3

def triple(x):
    from common.numbers import THREE
    return x * THREE

def of_pickle(x):
    import pickle
    return x * pickle.loads({scaler}).by
"""

SPAWN = """
import multiprocessing as mp
from concurrent.futures import ProcessPoolExecutor
from models.{name}.own import shifted
from utils import Scaler, of_pickle, triple

class {name}:
    def transform_predict(self, x: int):
        with ProcessPoolExecutor(1, mp_context=mp.get_context("{method}")) as pool:
            done = [pool.submit(one, x) for one in (triple, of_pickle, shifted)]
            kind = pool.submit(type, Scaler()).result()
            return {{"y": [one.result() for one in done], "same": kind is Scaler}}
"""

OWN = "import utils\n\ndef shifted(x):\n    return utils.triple(x) + 1\n"

LOKY = """
import joblib
from own import shifted
from utils import triple, of_pickle

def summed(x):
    import common.numbers as numbers
    return x + numbers.THREE

class Loky:
    def transform_predict(self, x: int):
        work = [joblib.delayed(one)(x) for one in (triple, of_pickle, shifted, summed)]
        return {"y": joblib.Parallel(n_jobs=2)(work)}
"""

LAZY = """
import joblib, os
import utils

class {name}:
    scaler = None

    def __init__(self, path):
        self.path = path

    def transform_predict(self, x: int):
        if self.scaler is None:
            self.scaler = joblib.load(self.path + "scaler.pkl")
        import utils as again
        return {{"y": x * self.scaler.by,
                 "same": type(self.scaler) is utils.Scaler is again.Scaler}}
"""

THREADS = """
from concurrent.futures import ThreadPoolExecutor

def work(x):
    import pickle
    import utils
    return type(pickle.loads({scaler})) is utils.Scaler and utils.triple(x)

class Threads:
    def transform_predict(self, x: int):
        with ThreadPoolExecutor(2) as pool:
            return {{"y": list(pool.map(work, [x, x]))}}
"""

MODELS: dict[str, tuple[str, dict[str, str], Any]] = {
    "Spawn": (
        SPAWN.format(name="Spawn", method="spawn"),
        {"own.py": OWN},
        {"y": [6, 6, 7], "same": True},
    ),
    "ForkServer": (
        SPAWN.format(name="ForkServer", method="forkserver"),
        {"own.py": OWN},
        {"y": [6, 6, 7], "same": True},
    ),
    "Loky": (LOKY, {"own.py": OWN}, {"y": [6, 6, 7, 5]}),
    "LazyA": (LAZY.format(name="LazyA"), {}, {"y": 6, "same": True}),
    "LazyB": (LAZY.format(name="LazyB"), {}, {"y": 6, "same": True}),
    "Threads": (THREADS.format(scaler=pickled("utils.Scaler")), {}, {"y": [6, 6]}),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of a repository's folder, in which all models use shared code."""
    top = tmp_path_factory.mktemp("repository")
    for name, (code, files, answer) in MODELS.items():
        folder = write_model(top / "models", name, code)
        for file, content in files.items():
            (folder / file).write_text(content)
        if name.startswith("Lazy"):
            (folder / "scaler.pkl").write_bytes(eval(pickled("utils.Scaler")))
        write_example(folder, {"x": 2}, answer)
    (top / "utils.py").write_text(UTILS.format(scaler=pickled("utils.Scaler")))
    (top / "common").mkdir()
    (top / "common" / "numbers.py").write_text("THREE = 3\n")
    subprocess.run(["git", "init", "-q", top], check=True)
    with serving(tmp_path_factory.mktemp("service"), top / "models") as service:
        yield service


@pytest.mark.parametrize("name", MODELS)
def test_shared_code_runs_everywhere(service: Service, name: str) -> None:
    """As the check saw it: in workers, in threads, in processes that are started anew."""
    with ThreadPoolExecutor(4) as clients:
        found = list(clients.map(lambda _: service.post(name, {"x": 2}), range(8)))
    assert [(one.status_code, one.json()) for one in found] == [(200, MODELS[name][2])] * 8
