"""Tracebacks that stay small, whatever the exception holds."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from modelsync.observability.tracebacks import UNPRINTABLE, bounded, brief, message_of


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


class Odd(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong"),
        ValueError(),
        ValueError("a", {"b": (1,)}),
        KeyError("k"),
        ValueError([1, {"a": None}, set(), {2}, b"x"]),
        OSError(2, "No such file"),
        RuntimeError(7),
    ],
)
def test_an_ordinary_one_reads_as_ever(error: Exception) -> None:
    """Message and traceback are those of Python."""
    caught = raised(error)
    assert message_of(caught) == str(caught)
    lines = "".join(traceback.format_exception(caught)).strip().splitlines()
    assert bounded(caught).splitlines() == [line for line in lines if set(line.strip()) != {"^"}]


def test_the_chain_is_shown_as_python_does() -> None:
    """The cause first."""
    error = ValueError("second")
    error.__cause__ = KeyError("first")
    text = bounded(error)
    assert text.index("KeyError: 'first'") < text.index("direct cause") < text.index("second")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x" * 9_000_000),
        KeyError("x" * 9_000_000),
        ValueError(list(range(1_000_000))),
        ValueError({"a": {"b": [[1] * 1_000_000]}}),
        ExceptionGroup("many", [ValueError("x" * 1000) for _ in range(100_000)]),
    ],
    ids=["text", "key", "list", "nested", "group"],
)
def test_a_large_one_is_cut(error: Exception) -> None:
    """To a few kilobytes."""
    assert len(bounded(raised(error))) < 10_000
    assert len(message_of(error)) <= 20_000
    assert len(message_of(error, 100)) <= 100


def test_a_long_chain_and_a_loop_end() -> None:
    """A hundred thousand causes, and one that is its own."""
    error: Any = None
    for number in range(100_000):
        after = ValueError(number)
        after.__context__, error = error, after
    assert bounded(error).count("ValueError") == 4
    first, second = ValueError(1), ValueError(2)
    first.__context__, second.__context__ = second, first
    assert bounded(first).count("ValueError") == 2


def test_a_message_that_exits_is_left_out() -> None:
    """SystemExit of a `__str__` passes nowhere."""
    assert message_of(Odd()) == UNPRINTABLE
    assert bounded(Odd()).endswith(f"Odd: {UNPRINTABLE}")


def test_a_container_that_holds_itself_is_cut() -> None:
    """Its text has an end."""
    loop: list[Any] = []
    loop.append(loop)
    assert len(brief(loop, 50)) == 50
