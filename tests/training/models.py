"""Models that are fitted, ordinary ones and others, for tests that drive a service."""

from __future__ import annotations

from pathlib import Path

from tests.fixtures.service import write_model

MEAN = """
class Mean:
    def fit(self, x, y=None, **params):
        print("fitting with", sorted(params))
        return {"mean": sum(y) / len(y), **params}

    def train(self):
        return {"mean": 0}

    def transform_predict(self):
        return self.model
"""

CUSTOM = """
import builtins, json, os, socket, time

class Rule:
    def predict(self, x):
        assert builtins.len(socket.gethostname()) and time.time()
        return [json.dumps(os.sep)] * len(x)

class Custom:
    def fit(self, x, y):
        return Rule()
"""

WAITS = """
import os, pathlib, time

class Waits:
    def train(self):
        print("waiting", flush=True)
        pathlib.Path(os.environ["TEST_FOLDER"], f"began-{os.getpid()}").touch()
        while not pathlib.Path(os.environ["TEST_FOLDER"], "go").exists():
            time.sleep(0.02)
        return {"waited": True}

    def transform_predict(self):
        return self.model
"""

ENDINGS = {
    "Raises": "raise ValueError('no such column: age')",
    "Crashes": "import ctypes; ctypes.string_at(0)",
    "Exits": "import os; os._exit(7)",
    "Hangs": "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(1000)",
    "Eats": "return bytearray(10**10)",
    "Forks": (
        "import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True);"
        " return {'forked': True}"
    ),
    "Prints": "print('p' * 100 + '\\n' * 3, end=''); print('password=hunter2'); return {}",
    "Sees": (
        "import os; return {'environ': dict(os.environ), 'nice': os.nice(0),"
        " 'oom': int(open('/proc/self/oom_score_adj').read()), 'cwd': os.listdir()}"
    ),
}


def write_models(root: Path, *names: str) -> None:
    """The models of these names."""
    for name in names:
        if name == "Mean":
            write_model(root, name, MEAN)
        elif name == "Custom":
            write_model(root, name, CUSTOM)
        elif name == "Waits":
            write_model(root, name, WAITS)
        else:
            write_model(root, name, ending(name))


def ending(name: str) -> str:
    """A model whose `train` does what `ENDINGS` says."""
    return (
        f"class {name}:\n    def train(self):\n        {ENDINGS[name]}\n"
        "    def transform_predict(self):\n        return {'model': self.model}\n"
    )
