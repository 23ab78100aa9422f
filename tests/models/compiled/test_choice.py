"""Which form is chosen, and what is said of those that are not."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from modelsync.models.artefacts import estimators
from modelsync.models.compiled import choice, compiled_call
from modelsync.models.forms import compiled_model
from modelsync.models.forms.compiled_model import CompiledModel
from modelsync.models.forms.compiler import Compiler, Target
from modelsync.models.forms.linear_compiler import LinearCompiler
from modelsync.models.forms.onnx_compiler import OnnxCompiler
from tests.models.compiled.tables import NUMBER, ROWS, TABLE, pipeline

TWO = (NUMBER > 0).astype(int)
EXAMPLE = dict(zip(("age", "income", "city", "member"), ROWS[0], strict=True))


class Broken:
    """A compiler that stumbles."""

    name = "broken"
    is_best = True

    def compile(self, target: Target) -> CompiledModel:
        raise RuntimeError("out of registers")


class Wrong(LinearCompiler):
    """A compiler whose forms say the opposite of some rows."""

    name = "wrong"

    def compile(self, target: Target) -> CompiledModel:
        turned = np.array(target.steps[-1].coef_) * -1
        last = LogisticRegression()
        vars(last).update({**vars(target.steps[-1]), "coef_": turned})
        return super().compile(replace(target, steps=(*target.steps[:-1], last)))


def test_fastest_form_that_is_equal_is_written_and_served(tmp_path: Path) -> None:
    artefact = estimators.adapt(pipeline(LogisticRegression()), "model.pkl")
    compilers: list[Compiler] = [Broken(), Wrong(), LinearCompiler(), OnnxCompiler("double")]
    found = choice.choose(artefact, [EXAMPLE, {"age": "x"}], tmp_path / "form", compilers=compilers)
    assert (found.state, found.backend) == ("compiled", "Python (double)")
    assert found.rows >= 2000
    assert found.max_difference is not None
    assert found.max_difference <= 1e-6
    assert found.speedup
    assert found.speedup > 5
    assert found.size > 100
    assert "wrong: " in found.difference
    assert "rows differ; the first is {" in found.difference
    served = compiled_call.served(artefact, tmp_path / "form")
    assert isinstance(served.batch.call, compiled_call.CompiledCall)
    expected = [one["prediction"] for one in artefact.batch.call(ROWS[:3])]
    assert [one["prediction"] for one in served.batch.call(ROWS[:3])] == expected
    assert served.batch.call.fallbacks == 0


def test_as_many_rows_are_compared_where_the_estimator_refuses_some(tmp_path: Path) -> None:
    """A class of travel is a number there, and every other number is refused."""
    encoder = make_column_transformer((OneHotEncoder(), [0]), remainder="passthrough")
    travel = np.column_stack([TABLE[:, 0].round().clip(1, 3), TABLE[:, 1]])
    fitted = make_pipeline(encoder, LogisticRegression()).fit(travel, TWO)
    artefact = estimators.adapt(fitted, "model.pkl")
    found = choice.choose(artefact, [], tmp_path / "form")
    assert found.state == "compiled", found
    assert found.rows >= 2000


def test_an_estimator_that_answers_few_rows_is_not_compiled(tmp_path: Path) -> None:
    """Its form would be proven on fewer than is promised."""
    picky = make_pipeline(FunctionTransformer(_only_small), LogisticRegression()).fit(TABLE, TWO)
    artefact = estimators.adapt(picky, "model.pkl")
    found = choice.choose(artefact, [], tmp_path / "form", compilers=[Unread()])
    assert found.state == "refused"
    assert "the estimator answers only" in found.reason


def _only_small(x: Any) -> Any:
    if np.abs(x).max() > 1e-3 and len(x) != len(TABLE):
        raise ValueError("too large")
    return x


class Unread(LinearCompiler):
    """A compiler that does not look at what comes before the last step."""

    name = "unread"

    def compile(self, target: Target) -> CompiledModel:
        return super().compile(replace(target, steps=target.steps[-1:]))


def test_form_in_32_bits_that_gives_another_label_is_found_and_not_used(tmp_path: Path) -> None:
    table = TABLE * 1e-6 + 1  # 32 bits do not tell these rows apart
    artefact = estimators.adapt(LogisticRegression(C=1e15).fit(table, TWO), "model.pkl")
    folder = tmp_path / "form"
    found = choice.choose(artefact, [], folder, compilers=[OnnxCompiler("single")])
    assert found.state == "refused"
    assert found.difference.startswith("onnxruntime (float): ")
    assert not folder.exists()


def test_reason_is_that_of_one_form_and_all_differences_are_kept(tmp_path: Path) -> None:
    """Each tells its first row: several together fill the page, and say no more."""
    table = TABLE * 1e-6 + 1
    artefact = estimators.adapt(LogisticRegression(C=1e15).fit(table, TWO), "model.pkl")
    compilers: list[Compiler] = [OnnxCompiler("single"), Wrong()]
    found = choice.choose(artefact, [], tmp_path / "form", compilers=compilers)
    assert found.state == "refused"
    assert found.difference.count("the first is {") == 2
    assert found.reason.count("the first is {") == 1
    assert found.difference.endswith(f"wrong: {found.reason}")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            make_pipeline(FunctionTransformer(np.arctan), LogisticRegression()).fit(TABLE, TWO),
            "FunctionTransformer",
        ),
        (
            make_pipeline(TfidfVectorizer(), MultinomialNB()).fit(["a bc", "de f"], [0, 1]),
            "TfidfVectorizer takes no columns of numbers or categories",
        ),
    ],
    ids=["function", "texts"],
)
def test_reason_names_what_cannot_be_compiled(model: Any, reason: str, tmp_path: Path) -> None:
    found = choice.choose(estimators.adapt(model, "model.pkl"), [], tmp_path / "form")
    assert found.state == "refused"
    assert reason in found.reason
    assert "no linear model" not in found.reason
    assert not (tmp_path / "form").exists()


def test_row_that_is_left_to_the_estimator_does_not_hide_how_fast_a_form_is(tmp_path: Path) -> None:
    model = LogisticRegression().fit(TABLE, TWO)
    model.intercept_ = np.zeros(1)
    artefact = estimators.adapt(model, "model.pkl")
    examples = [{"x": [0] * TABLE.shape[1]}, {"x": [1] * TABLE.shape[1]}]  # the first one is a tie
    found = choice.choose(artefact, examples, tmp_path / "form", compilers=[LinearCompiler()])
    assert (found.state, found.reason) == ("compiled", "")
    assert found.speedup
    assert found.speedup > 5


def test_broken_compiler_is_named(tmp_path: Path) -> None:
    artefact = estimators.adapt(LogisticRegression().fit(TABLE, TWO), "model.pkl")
    found = choice.choose(artefact, [], tmp_path / "form", compilers=[Broken()])
    assert found.state == "refused"
    assert found.reason == "RuntimeError while it compiled: out of registers"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_form_answers_in_threads_and_after_a_fork(tmp_path: Path) -> None:
    model = RandomForestClassifier(20, random_state=0).fit(TABLE, TWO)
    artefact = estimators.adapt(model, "model.pkl")
    assert artefact.target
    form = choice.COMPILERS[1].compile(artefact.target)
    compiled_model.save(form, tmp_path)
    form = compiled_model.load(tmp_path)
    rows = TABLE.tolist()
    expected = [form.answer([row]).scores[0] for row in rows]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: form.answer([row]).scores[0], rows * 20))
    assert found == expected * 20
    child = os.fork()
    if not child:
        is_same = [form.answer([row]).scores[0] for row in rows] == expected
        os._exit(0 if is_same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
