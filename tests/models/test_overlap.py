"""The static look at what a call can reach: where calls may overlap, and where one waits."""

from __future__ import annotations

import pytest

from modelsync.models.discovery.overlap import find_write
from tests.models.conftest import Find, Write

# What follows `def transform_predict(self, name):` in a class Churn, below `top`.
SERIAL = {
    "an alias of an attribute": "row = self.template; row['name'] = name; return row",
    "an alias of an alias": "a = self.template; b = a; b['name'] = name; return b",
    "an alias of an element": "row = self.rows.get(name); row['name'] = 1; return row",
    "an alias by a condition": "row = self.a if name else self.b; row.x = 1; return {}",
    "an item of a loop": "\n        for row in self.rows: row['x'] = 1\n        return {}",
    "an unpacked alias": "a, b = self.a, name; a['x'] = 1; return {}",
    "a mutator in a function": "add(self.rows, name); return {}",
    "the position of a file": "self.file.seek(name); return {'y': self.file.read(1)}",
    "a mutator of an alias": "rows = self.rows; rows.append(name); return {}",
    "in place": "frame = self.frame; frame.drop(columns='x', inplace=True); return {}",
    "out=": "np.multiply(name, 2, out=self.buffer); return {}",
    "a known function": "random.shuffle(self.rows); return {}",
    "a generator": "return {'id': next(self.ids)}",
    "a global": "LAST['name'] = name; return LAST",
    "a global statement": "\n        global COUNT\n        COUNT += 1\n        return {}",
    "a mutator of a global": "SEEN.append(name); return {}",
    "an attribute of a class": "Config.name = name; return {}",
    "the class of self": "type(self).last = name; return {}",
    "a function that writes a global": "remember(name); return {}",
    "a function that is passed self": "change(self); return {}",
    "a function that is passed an attribute": "change_row(self.template); return {}",
    "a method that returns an attribute": "self.row()['name'] = name; return {}",
    "a method of a helper": "self.builder.begin(name); return {}",
    "a closure": "return COUNTER(name)",
    "a decorated function": "return cached(name)",
    "a default": "return collect(name)",
    "a seed of all": "np.random.seed(1); return {}",
    "matplotlib's state": "plt.plot([1]); return {}",
    "a global of another file": "STATE['name'] = name; return {}",
    "a module of the folder": "state.last = name; return {}",
    "a function of another file": "note(name); return {}",
}

OVERLAPS = {
    "a dict of its own": "row = {'name': name}; row['x'] = 1; return row",
    "a copy": "row = self.template.copy(); row['name'] = name; return row",
    "a copy by dict": "row = dict(self.template); row['name'] = name; return row",
    "a copy by stars": "row = {**self.template}; row['name'] = name; return row",
    "a deep copy": "row = copy.deepcopy(self.template); row['a']['b'] = name; return row",
    "a frame of its own": "frame = pd.DataFrame([name]); frame['x'] = 1; return {}",
    "a model that predicts": "return {'y': self.model.predict([name])[0]}",
    "a helper that changes its frame": "row = {'a': 1}; change_row(row); return row",
    "a list of results": "found = []\n        for one in self.rows: found.append(one)\n"
    "        return {'n': len(found)}",
    "a sum": "total = self.bias; total += 3; return {'y': total}",
    "the variables": "name['x'] = self.x; name.pop('y', None); return {}",
    "an object of its own": "one = Builder(); one.begin(name); return {}",
    "a log": "LOG.info('called'); return {}",
    "numpy's functions": "return {'y': np.insert(name, 0, 1), 'z': np.append(name, 1)}",
    "a function in the call": "def inner(x): y = {}; y['a'] = x; return y\n"
    "        return inner(name)",
    "a generator of its own": "rng = np.random.default_rng(1); rng.shuffle(name); return {}",
    "a constant": "return {'y': FACTOR * 2, 'rows': [row for row in SEEN]}",
    "a function without state": "return {'y': double(name)}",
    "a class that is not used": "return {'y': name}",
    "the files": "os.remove(name); return {}",
    "a thread's own": "LOCAL.name = name; return {}",
    "a metric": "ANSWERED.inc(); return {}",
}

TOP = """
import copy, itertools, logging, os, random, threading
import numpy as np, pandas as pd
import matplotlib.pyplot as plt
import state
from state import STATE, note
LAST, SEEN, COUNT, FACTOR = {}, [], 0, 2
LOCAL = threading.local()
LOG = logging.getLogger("churn")
ANSWERED = Counter("answers")

def remember(name):
    global COUNT
    COUNT = name

def add(rows, name): rows.append(name)
def change(model): model.template["x"] = 1
def change_row(row): row["x"] = 1
def double(x): return x * 2
def collect(x, seen=[]):
    seen.append(x)
    return {"seen": seen}

def counting():
    count = 0
    def up(name):
        nonlocal count
        count += 1
        return {"count": count}
    return up

def memo(function):
    kept = {}
    def inner(x):
        kept[x] = function(x)
        return kept[x]
    return inner

COUNTER = counting()

@memo
def cached(x): return {"x": x}

class Config: name = ""

class Builder:
    def begin(self, name): self.name = name

class Churn:
    def __init__(self, path):
        self.template, self.rows, self.ids = {}, [], itertools.count()
        self.builder = Builder()
    def row(self): return self.template
"""

STATE = "STATE = {}\nlast = None\n\ndef note(name):\n    STATE['last'] = name\n"


def write_of(write: Write, find: Find, body: str) -> object:
    source = f"{TOP}\n    def transform_predict(self, name):\n        {body}\n"
    write("Churn", source, {"state.py": STATE})
    return find_write(find("Churn"))


@pytest.mark.parametrize("body", SERIAL.values(), ids=SERIAL)
def test_a_write_to_what_calls_share_is_found(write: Write, find: Find, body: str) -> None:
    """Through whatever name it is reached, in whatever file of the folder (g10)."""
    assert write_of(write, find, body)


@pytest.mark.parametrize("body", OVERLAPS.values(), ids=OVERLAPS)
def test_clean_code_is_not_held_back(write: Write, find: Find, body: str) -> None:
    """What a call has made for itself it may change: a lock would make the model slower."""
    assert write_of(write, find, body) is None


def test_the_place_of_the_write_is_told(write: Write, find: Find) -> None:
    """File and line, also in a package of the folder, through `from . import`."""
    write(
        "Churn",
        "from steps import run\nclass Churn:\n    def transform_predict(self, v): return run(v)\n",
        {
            "steps/__init__.py": "from .first import run\n",
            "steps/first.py": "from .seen import SEEN\ndef run(v):\n    SEEN.append(v)\n"
            "    return {}\n",
            "steps/seen.py": "SEEN = []\n",
        },
    )
    assert find_write(find("Churn")) == ("steps/first.py", 3)


def test_what_cannot_be_read_is_no_reason(write: Write, find: Find) -> None:
    """Broken files, recursion and missing names end the search, not the check."""
    top = "from broken import x\nfrom gone import y\nclass Churn(Churn):\n"
    body = "    def transform_predict(self, v):\n        return self.transform_predict(x(y(v)))\n"
    write("Churn", top + body, {"broken.py": "def x(:"})
    write("Empty", "x = 1")
    assert (find_write(find("Churn")), find_write(find("Empty"))) == (None, None)
