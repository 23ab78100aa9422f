"""The decision where a model runs, from what the check has found out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelsync.models.check.placement import (
    DIFFERS,
    Facts,
    decide,
    wants_own_thread,
    without_differences,
)

GOOD = Facts(examples=1, loop="", thread="", twice="")
OTHER = f"example a {DIFFERS}: y: expected 1, got 2"


def test_a_model_that_passes_everything_runs_in_the_workers() -> None:
    """As it is, without a reason, its calls at once, the loop in sight."""
    placement = decide(GOOD)
    assert (placement.place, placement.reason) == ("worker", "")
    assert (placement.hide_loop, placement.overlaps, placement.main_thread) == (False, True, False)


@pytest.mark.parametrize(
    ("facts", "place", "words"),
    [
        ({"environment": "a1"}, "runner", "environment of its own"),
        ({"call_activity": ("forks",)}, "runner", "it forks when it is called"),
        ({"load_activity": ("forks",)}, "runner", "it forks when it loads"),
        ({"load_activity": ("starts processes",)}, "worker", ""),
        ({"children": 1}, "runner", "goes on running"),
        ({"changed": ("the time zone",)}, "runner", "it changes the time zone"),
        ({"mildly_changed": ("pandas' display options",)}, "worker", ""),
        ({"mildly_changed": ("x",), "loop": OTHER, "hidden": OTHER}, "runner", "depend on x"),
        ({"replaced": ("a.b", "c.d", "e.f", "g.h")}, "runner", "a.b, c.d, e.f and 1 more"),
        ({"lost": "it hung"}, "runner", "it hung"),
        ({"names": "subprocess"}, "worker", ""),
        ({"names": "subprocess", "examples": 0}, "runner", "its source names subprocess"),
        ({"processes": ("a pool",), "examples": 0}, "runner", "it holds a pool"),
        ({"threads": ("T-1",), "own_thread": ""}, "thread", "threads when it loads (T-1)"),
        ({"native_threads": 3}, "worker", ""),
        ({"native_threads": 3, "loop": "it does not answer", "thread": None}, "thread", "library"),
        ({"native_threads": 3, "loop": None, "thread": None, "artefact": True}, "worker", ""),
        ({"held": ("a socket",), "own_thread": ""}, "thread", "it holds a socket"),
        ({"generators": ("self.rng",)}, "thread", "random generator (self.rng)"),
        ({"repeats": True}, "thread", "same sequence"),
        ({"repeats": True, "own_thread_repeats": True}, "worker", ""),
        ({"fork": OTHER, "own_thread": ""}, "thread", "after a fork"),
        ({"loop": "it raises E", "hidden": ""}, "worker", ""),
        ({"loop": "it raises E", "hidden": "it raises F"}, "thread", "in the event loop, it rais"),
        ({"thread": "it raises E", "own_thread": ""}, "thread", "another thread than the one"),
        ({"thread": "it raises E", "own_thread": "it raises E"}, "runner", "loads it itself"),
        ({"held": ("a socket",), "call_activity": ("forks",)}, "runner", "forks"),
    ],
)
def test_the_cheapest_place_that_is_right(facts: dict[str, Any], place: str, words: str) -> None:
    """A runner for what others would notice, a thread for what a fork or other threads break."""
    placement = decide(replace(GOOD, **facts))
    assert placement.place == place, placement
    assert words in placement.reason
    assert bool(placement.reason) == bool(words)


@pytest.mark.parametrize(
    ("facts", "hidden"),
    [
        ({}, False),
        ({"event_loops": True}, True),
        ({"examples": 0}, True),
        ({"loop": "it raises E", "hidden": ""}, True),
        ({"examples": 0, "artefact": True}, False),
        ({"event_loops": True, "is_async": True}, False),
    ],
)
def test_the_loop_is_hidden_in_doubt(facts: dict[str, Any], hidden: bool) -> None:
    """From a plain method that may run one of its own."""
    assert decide(replace(GOOD, **facts)).hide_loop is hidden


def test_calls_wait_for_each_other_in_doubt() -> None:
    """If the source says so, or if two at once went wrong."""
    assert not decide(replace(GOOD, serial=True)).overlaps
    assert not decide(replace(GOOD, twice=OTHER)).overlaps
    assert decide(replace(GOOD, twice=None)).overlaps


def test_the_main_thread_where_no_other_does() -> None:
    """A runner's main thread calls what fails elsewhere, or set what belongs to that thread."""
    for facts in (
        {"thread": "it raises E", "own_thread": "it raises E"},
        {"changed": ("signal handlers",)},
        {"changed": ("scikit-learn's configuration",), "thread": ""},
    ):
        assert decide(replace(GOOD, **facts)).main_thread


def test_a_second_load_only_where_it_decides() -> None:
    """Not for a model of the workers, nor for one that gets a runner anyway."""
    assert not wants_own_thread(GOOD)
    assert wants_own_thread(replace(GOOD, held=("a socket",)))
    assert not wants_own_thread(replace(GOOD, held=("a socket",), changed=("the umask",)))


def test_answers_with_the_number_of_the_process_are_no_reason() -> None:
    """What differs in each process tells nothing about a place; an error still does."""
    facts = replace(GOOD, fork=OTHER, loop=OTHER, hidden=OTHER, own_thread=OTHER)
    assert decide(without_differences(facts)).place == "worker"
    assert without_differences(replace(facts, own_thread="")).loop == OTHER
    raises = replace(facts, thread="it raises E")
    assert decide(without_differences(raises)).place == "thread"
