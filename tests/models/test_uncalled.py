"""Models without examples: the check calls each once, and what comes of it is a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models.conftest import Write
from tests.models.test_check import results

INVALID = "class Invalid(Exception):\n    status_code = 422\n"
LOG = "import pathlib\nfile = pathlib.Path({!r})\n"

CASES = {
    "Answers": ("self, a: int", "return {'y': a}", "", "", ""),
    "TakesNothing": ("self", "return {}", "", "", ""),
    "Waits": ("self, a: int", "return {'y': a}", "async ", "", ""),
    "Fails": ("self, a: int", "return {'y': a / 0}", "", "failed-call", "ZeroDivisionError"),
    "WaitsInVain": ("self, a: int", "return {'y': a / 0}", "async ", "failed-call", "division"),
    "NoDict": ("self, a: int", "return 2.0", "", "failed-call", "returned a float, not a dict"),
    "Ends": ("self, a: int", "import os; os._exit(3)", "", "failed-call", "ends its process"),
    "Exits": ("self, a: int", "raise SystemExit(1)", "", "failed-call", "SystemExit"),
    "Opens": ("self, a: int", "open('data/x.csv')", "", "failed-call", "No such file"),
    "Hangs": ("self, a: int", "while True: pass", "", "failed-call", "does not answer within"),
    "Rejects": ("self, a: int", "raise Invalid('no')", "", "never-called", '{"a": 1}'),
    "TakesAny": ("self, v", "return {}", "", "never-called", "nothing tells what it takes"),
}

HINTED = ("Exits", "NoDict", "Opens")
"""Those for which an example would be no help."""


@pytest.fixture(scope="module")
def warned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Kind and text of the warnings of each of CASES, and of two with an annotated result."""
    root = tmp_path_factory.mktemp("uncalled")
    for name, (parameters, body, kind, _, _) in CASES.items():
        write(root, name, f"{kind}def transform_predict({parameters}):", body)
    write(root, "Fits", "def fit(self, x, y):", "return None")
    write(root, "ByType", "def transform_predict(self, v) -> list[float]:", "return [1.0]")
    write(root, "Typed", "def transform_predict(self, v) -> 'dict[str, float]':", "return {}")
    found = results(root, timeout=3.0)
    assert all(result.ok for result in found.values()), found
    assert all(result.measured.examples == 0 for result in found.values())
    assert all(len(result.warnings) <= 1 for result in found.values())
    return {
        name: (result.warnings[0].kind, str(result.warnings[0])) if result.warnings else ("", "")
        for name, result in found.items()
    }


def write(root: Path, name: str, signature: str, body: str) -> None:
    (root / name).mkdir()
    code = f"{INVALID}class {name}:\n    {signature}\n        {body}\n"
    (root / name / "etls.py").write_text(code)


@pytest.mark.parametrize("name", CASES)
def test_what_the_call_tells(name: str, warned: dict[str, tuple[str, str]]) -> None:
    """Whatever the model does then, it can serve, and the check of the others goes on."""
    *_, kind, text = CASES[name]
    assert warned[name][0] == kind
    assert text in warned[name][1]
    assert not kind or ("add an example" in warned[name][1]) == (name not in HINTED)


def test_a_missing_file_is_told_as_in_a_fault(warned: dict[str, tuple[str, str]]) -> None:
    """An example would not help."""
    assert "put x.csv into the model's folder" in warned["Opens"][1]


def test_a_model_that_predicts_once_it_is_fitted_is_not_warned_of(
    warned: dict[str, tuple[str, str]],
) -> None:
    assert warned["Fits"] == ("", "")


def test_the_annotation_of_a_model_that_is_not_called(warned: dict[str, tuple[str, str]]) -> None:
    assert warned["ByType"][0] == "no-dict"
    assert "it returns list, and an answer is a dict" in warned["ByType"][1]
    assert warned["Typed"][0] == "never-called"


def test_a_model_with_an_example_is_not_called_with_anything_else(
    root: Path, write: Write, tmp_path: Path
) -> None:
    """Nor is one called twice that has none: a call may send a mail."""
    log = tmp_path / "calls"
    code = f"{LOG.format(str(log))}class M:\n    def transform_predict(self, a: int):\n"
    code += "        with file.open('a') as out: out.write(f'{a}\\n')\n        return {}\n"
    write("M", code)
    assert not results(root)["M"].warnings
    assert log.read_text() == "1\n"
    write("M", code, {"examples/a.json": '{"variables": {"a": 7}}'})
    assert not results(root)["M"].warnings
    assert set(log.read_text().split()[1:]) == {"7"}
