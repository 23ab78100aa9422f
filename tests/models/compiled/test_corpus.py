"""Estimators and pipelines of the corpus of bench/compiled, and which of them are compiled."""

from __future__ import annotations

from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from bench.compiled import corpus
from bench.compiled.attempts import Attempt, attempt
from bench.compiled.table import table
from bench.compiled.tables import CorpusEntry
from modelsync.models.artefacts import estimators
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import choice
from modelsync.models.equality import proof
from modelsync.models.forms.onnx_compiler import OnnxCompiler

ENTRIES = {entry.name: entry for entry in corpus.entries()}

EQUAL = (
    "columns, LogisticRegression",
    "columns, GradientBoostingClassifier",
    "columns, LGBMClassifier",
    "imputers, RandomForestClassifier",
    "gaps, HistGradientBoostingClassifier",
    "gaps, DecisionTreeClassifier",
    "GridSearchCV of Ridge",
    "MultiTaskLasso",
    "GaussianNB",
    "RidgeClassifier",
)
REFUSED = ("LabelPropagation", "log of the target, Ridge")


@pytest.fixture(autouse=True)
def few_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole comparison is `python -m bench.compiled`."""
    monkeypatch.setattr(proof, "MOST_ALONE", 300)


@pytest.mark.parametrize("name", EQUAL)
def test_is_compiled_and_equal(name: str) -> None:
    """Each kind of estimator has a compiled form that answers the same, and faster."""
    tried = attempt(ENTRIES[name])
    found = tried.compilation
    assert found
    assert found.state == "compiled", found
    assert found.rows >= 2000
    assert found.speedup
    assert found.speedup > 1
    assert (found.max_difference or 0) <= 1e-6


@pytest.mark.parametrize("name", REFUSED)
def test_says_why_it_is_not_compiled(name: str) -> None:
    found = attempt(ENTRIES[name]).compilation
    assert found
    assert (found.state, found.speedup) == ("refused", None)
    assert found.reason


def chosen(entry: CorpusEntry, folder: Path, *compilers: OnnxCompiler) -> Compilation:
    artefact = estimators.adapt(corpus.fitted(entry), "model.pkl")
    with threadpool_limits(1):
        return choice.choose(artefact, [], folder / "form", compilers=compilers)


def test_another_label_in_single_precision_is_found(tmp_path: Path) -> None:
    """A form of 32 bits that gives another label is told, and one of 64 bits is served."""
    entry = ENTRIES["columns, LogisticRegression"]
    found = chosen(entry, tmp_path, OnnxCompiler("single"))
    assert found.state == "refused"
    assert "rows differ; the first is {" in found.difference
    assert not (tmp_path / "form").exists()
    found = chosen(entry, tmp_path, OnnxCompiler("single"), OnnxCompiler("double"))
    assert (found.state, found.backend) == ("compiled", "onnxruntime (double)")
    assert found.difference.startswith("onnxruntime (float): ")


def test_the_table_is_written() -> None:
    """A line of the table for what is compiled, what is not, and what does not fit."""
    entries = [CorpusEntry("pipelines", name, lambda: None) for name in "abc"]
    done = Compilation(
        "compiled", backend="x", speedup=12.3, speedup_batch=4.5, rows=2000, max_difference=2e-9
    )
    text = table(
        [
            Attempt(entries[0], done),
            Attempt(entries[1], Compilation("refused", "it differs", rows=9)),
            Attempt(entries[2], unfit="ValueError"),
        ]
    )
    assert "**1 of 2 are compiled and equal: 50%.**" in text
    assert "| **pipelines: 1 of 2** |" in text
    assert "| a | x | 12 / 4 | 2000 | 2e-09 | |" in text
    assert "| b | no | | 9 | | it differs |" in text
    assert "not counted: c." in text
