"""The static analysis of a model's source: which class is the model, and how its method behaves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.models.code import fault_of
from tests.models.conftest import Find, Write


def method(name: str, body: str = "return {}", base: str = "", kind: str = "def") -> str:
    head = f"class {name}({base}):" if base else f"class {name}:"
    return f"{head}\n    {kind} transform_predict(self, variables):\n        {body}\n\n"


@pytest.mark.parametrize(
    ("etls", "chosen"),
    [
        (method("Anything"), "Anything"),
        (method("Other") + method("Churn"), "Churn"),
        (method("Other") + method("transform_predict"), "transform_predict"),
        (method("transform_predict") + method("Churn"), "Churn"),
        ("class Helper:\n    pass\n\n" + method("Other"), "Other"),
        (method("Base") + "class Churn(Base):\n    pass\n", "Churn"),
        (method("Base") + "class Special(Base):\n    x = 1\n", "Special"),
        (method("A") + "class B(A):\n    pass\n\nclass C(B):\n    pass\n", "C"),
        (f"if True:\n    {method('Inner').rstrip().replace(chr(10), chr(10) + '    ')}\n", "Inner"),
        (
            "try:\n    import x\nexcept ImportError:\n    class Late:\n"
            "        def transform_predict(self): ...\n",
            "Late",
        ),
        (
            "class One:\n    def run(self, v):\n        return {}\n    transform_predict = run\n",
            "One",
        ),
        ("from base import Base\n\nclass Churn(Base):\n    pass\n", "Churn"),
        ("import base\n\nclass transform_predict(base.Base):\n    pass\n", "transform_predict"),
    ],
)
def test_the_class_that_is_meant(write: Write, find: Find, etls: Any, chosen: Any) -> None:
    """The only class with the method, else the folder's namesake, or the derived one."""
    write("Churn", etls)
    assert (find("Churn").fault, find("Churn").class_name) == (None, chosen)


@pytest.mark.parametrize(
    ("folder", "name"), [("credit-risk", "CreditRisk"), ("credit-risk", "credit_risk")]
)
def test_a_hyphen_does_not_matter(write: Write, find: Find, folder: str, name: str) -> None:
    """A class is the namesake of a folder whose name has hyphens."""
    write(folder, method("Other") + method(name))
    assert find(folder).class_name == name


def test_two_classes_are_refused_by_name(write: Write, find: Find) -> None:
    """Where no rule chooses, the fault names the candidates, with a hint."""
    write("Churn", method("First") + method("Second"))
    fault = fault_of(find("Churn"))
    assert (fault.stage, fault.file, fault.line) == ("static", "etls.py", 5)
    assert "First (line 1), Second (line 5)" in fault.message
    assert "Churn" in str(fault.hint)


@pytest.mark.parametrize(
    ("etls", "told"),
    [
        ("", "no class with a transform_predict method"),
        (
            "class A:\n    def transform_predict_all(self, variables): ...\n",
            "no class with a transform_predict method",
        ),
        ("class Churn:\n    def predict(self): ...\n", "classes: Churn"),
        ("class Churn(object):\n    def predict(self): ...\n", "classes: Churn"),
    ],
)
def test_no_class_is_refused(write: Write, find: Find, etls: Any, told: Any) -> None:
    """A file without the method is refused, and its classes are listed."""
    write("Churn", etls)
    assert told in fault_of(find("Churn")).message
    assert "def transform_predict(self, variables)" in str(fault_of(find("Churn")).hint)


@pytest.mark.parametrize(
    ("etls", "line"),
    [
        (b"x = 1\ndef oops(:\n", 2),
        (b"class A:\ndef f(self): pass\n", 2),
        (b"x = '\xff'\n", None),
        (b"x = 1\0", None),
        (b"(" * 5000, None),
        (b"x = " + b"-" * 100_000 + b"1", None),
    ],
)
def test_what_does_not_parse_is_refused_with_its_line(
    write: Write, find: Find, etls: Any, line: Any
) -> None:
    """Syntax errors, bytes that are no text and endless nesting are faults, not crashes."""
    write("Churn", files={"etls.py": etls})
    fault = fault_of(find("Churn"))
    assert (fault.stage, fault.file) == ("static", "etls.py")
    assert line is None or fault.line == line


# --- how the method behaves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "self.rows = variables; return {}",
        "self.count += 1; return {}",
        "self.count: int = 1; return {}",
        "a, self.b = 1, 2; return {}",
        "(a, *self.b) = 1, 2; return {}",
        "del self.rows; return {}",
        "self.cache[1] = 2; return {}",
        "self.a.b[1].c = 2; return {}",
        "self.seen.append(1); return {}",
        "self.cache[1].update(x=1); return {}",
        "setattr(self, 'x', 1); return {}",
        "Churn.count = 1; return {}",
        "\n        for self.x in [1]: pass\n        return {}",
        "\n        with open('x') as self.file: pass\n        return {}",
        "return [self.rows.pop() for _ in 'ab'][0]",
        "return self.extract(variables)\n    def extract(self, v):\n        self.rows = v",
    ],
)
def test_a_method_that_writes_self_is_seen(write: Write, find: Find, body: str) -> None:
    """Calls of such a model must not overlap, so every way to change the instance counts."""
    write("Churn", method("Churn", body))
    assert find("Churn").writes_self


@pytest.mark.parametrize(
    "body",
    [
        "return {'x': self.model.predict(variables)}",
        "rows = []; rows.append(self.x); return {}",
        "variables['x'] = self.x; return {}",
        "x: self.kind = 1; return {}",
        "return {}\n    def __init__(self):\n        self.x = 1",
        "return self.helper()\n    def helper(self):\n        x = self.y\n        return {}",
    ],
)
def test_a_method_that_only_reads_is_not_held_back(write: Write, find: Find, body: str) -> None:
    """Calls of a model that does not change itself may overlap."""
    write("Churn", method("Churn", body))
    assert (find("Churn").fault, find("Churn").writes_self) == (None, False)


def test_inherited_methods_are_looked_into(write: Write, find: Find) -> None:
    """A base class of the same file counts, for `async def` and for writes to self."""
    write(
        "Churn", method("Base", "self.x = 1", kind="async def") + "class Churn(Base):\n    pass\n"
    )
    assert find("Churn").writes_self
    assert find("Churn").is_async
