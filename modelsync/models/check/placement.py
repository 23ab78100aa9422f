"""Decides where a version of a model runs, from what the check has found out about it.

The cheapest place that gives right answers wins: the workers, else a thread of its own in each
worker, else a runner. Nothing here runs a model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from modelsync.models.placement import Placement

SHOWN = 3
"""Names of a kind that a reason lists."""

DIFFERS = "gets another answer"
"""What the outcome of a trial says if the model answers, but not as in the baseline."""

Outcome = str | None
"""Of a trial: None if it was not made, empty if it went well, else what went wrong, in words."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the check has found out about a version of a model that answers its examples.

    Static: `artefact`, `is_async`, `environment`, `serial` (its calls must not overlap),
    `event_loops` (its source names asyncio or the like), `names` (what its source names of
    processes and signals), `examples` (their number), `call_changes` (what its calls change for the
    whole process, be it for a while).

    After loading it: `threads` (names of Python's threads that run), `native_threads` (the number
    of others), `children` (processes that run), `ports` (that it listens on, of its own choice),
    `held` (connections, files, objects bound to a thread), `processes` (pools that start
    processes), `generators` (of random numbers).

    What its code did: `load_activity`, `call_activity` (forks, processes, limits), `rewrites`
    (files that each call writes), `changed` (settings that all models share), `mildly_changed`
    (those that seldom matter; they were restored for the trials), `replaced` (functions of other
    modules).

    Trials, each in a fork of the process that loaded it: `fork` (called as the baseline was; made
    if another one differs), `loop` (called in a running event loop),
    `hidden` (the same with the loop hidden), `thread` (in another thread), `twice` (twice at once).
    `repeats`: two forks gave the same answers though calls differ. `own_thread`: in a process where
    another thread than the main one loads and calls it; `own_thread_repeats`: there it gave the
    answers of the forks again. `lost`: how its process ended during the trials.
    """

    artefact: bool = False
    is_async: bool = False
    environment: str = ""
    serial: bool = False
    event_loops: bool = False
    names: str = ""
    call_changes: str = ""
    examples: int = 0
    threads: tuple[str, ...] = ()
    native_threads: int = 0
    children: int = 0
    ports: tuple[int, ...] = ()
    held: tuple[str, ...] = ()
    processes: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    load_activity: tuple[str, ...] = ()
    call_activity: tuple[str, ...] = ()
    rewrites: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    mildly_changed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    fork: Outcome = None
    loop: Outcome = None
    hidden: Outcome = None
    thread: Outcome = None
    twice: Outcome = None
    repeats: bool = False
    own_thread: Outcome = None
    own_thread_repeats: bool = False
    lost: str = ""


def decide(facts: Facts) -> Placement:
    """Return the cheapest place where a model answers right, with the reason if it is no worker."""
    hide_loop = (
        not facts.is_async
        and not facts.artefact
        and (facts.event_loops or not facts.examples or bool(facts.loop))
    )
    overlaps = not facts.serial and not facts.twice and not facts.rewrites
    if reason := runner_reason(facts):
        main_thread = bool(facts.thread) or bool(facts.own_thread) or _is_of_threads(facts.changed)
        return Placement("runner", reason, hide_loop, overlaps, main_thread)
    if not (reason := thread_reason(facts)):
        return Placement("worker", "", hide_loop, overlaps)
    if facts.own_thread:
        reason = f"{reason}; in a thread that loads it itself, {facts.own_thread}"
        return Placement("runner", reason, hide_loop, overlaps, main_thread=True)
    return Placement("thread", reason, hide_loop, overlaps)


def is_difference(outcome: Outcome) -> bool:
    """Return whether the model answered in a trial, but not as in the baseline."""
    return DIFFERS in (outcome or "")


def without_differences(facts: Facts) -> Facts:
    """Return the facts of a model that answers otherwise in each process, with its number, say.

    It does so after a fork, and in another process that has loaded it: then differences tell
    nothing.
    """
    if not (is_difference(facts.fork) and is_difference(facts.own_thread)):
        return facts
    tried = ("fork", "loop", "hidden", "thread", "twice", "own_thread")
    values: dict[str, Any] = {name: "" for name in tried if is_difference(getattr(facts, name))}
    return replace(facts, **values)


def wants_own_thread(facts: Facts) -> bool:
    """Return whether the trial `own_thread` decides."""
    return not runner_reason(facts) and bool(thread_reason(facts))


def runner_reason(facts: Facts) -> str:
    """Return why a model must not run in a process of others, empty if it may."""
    return next(_runner_reasons(facts), "")


def thread_reason(facts: Facts) -> str:
    """Return why a model must be loaded and called by one thread of each worker, empty if not."""
    return next(_thread_reasons(facts), "")


def _runner_reasons(facts: Facts) -> Iterator[str]:
    """Yield what a model does that the others of its process would notice."""
    if facts.environment:
        yield "its requirements make an environment of its own"
    if facts.call_activity:
        yield f"it {_listed(facts.call_activity)} when it is called"
    if facts.children:
        yield "it starts a process when it loads, which goes on running"
    yield from (f"it listens on port {port}, which one process can do" for port in facts.ports)
    # A process that was started and has ended by now does no harm to anybody.
    if done := [what for what in facts.load_activity if not what.startswith("starts")]:
        yield f"it {_listed(done)} when it loads"
    yield from _changes(facts)
    if facts.lost:
        yield facts.lost
    if not facts.examples:
        yield from _doubts(facts)


def _changes(facts: Facts) -> Iterator[str]:
    """Yield what a model changes for its whole process."""
    if facts.rewrites:
        yield f"each call writes the same file ({_listed(facts.rewrites)})"
    if facts.changed:
        yield f"it changes {_listed(facts.changed)} for the whole process"
    if facts.replaced:
        yield f"it replaces {_listed(facts.replaced)} for the whole process"
    if facts.call_changes:
        yield f"its calls change what the whole process shares ({facts.call_changes})"
    if facts.mildly_changed and (facts.hidden or facts.thread):
        yield f"its answers depend on {_listed(facts.mildly_changed)}, which it changes"


def _doubts(facts: Facts) -> Iterator[str]:
    """Yield what a call may do, if there is no example that shows it."""
    if facts.names:
        yield f"its source names {facts.names}, and no example shows what a call does"
    if facts.processes:
        yield f"it holds {_listed(facts.processes)}, and no example shows what a call does"


def _thread_reasons(facts: Facts) -> Iterator[str]:
    """Yield why threads of a worker, or its fork, do not do for a model."""
    tried = _answers_in_forks(facts)
    if facts.threads:
        names = _listed(facts.threads)
        yield f"it starts threads when it loads ({names}), which do not survive a fork"
    if facts.native_threads and not tried and not facts.artefact:
        yield "a library starts threads when it loads, which do not survive a fork"
    if facts.held:
        yield f"it holds {_listed(facts.held)}"
    if facts.generators:
        yield (
            f"it holds a random generator ({_listed(facts.generators)}), "
            "which would give the same numbers in each worker"
        )
    if facts.repeats and not facts.own_thread_repeats:
        yield "each worker would give the same sequence of answers, as random numbers of a fork do"
    if facts.fork:
        yield f"after a fork, {facts.fork}"
    if facts.loop and facts.hidden:
        yield f"called in the event loop, {facts.hidden}"
    if facts.thread:
        yield f"called in another thread than the one that loaded it, {facts.thread}"


def _answers_in_forks(facts: Facts) -> bool:
    """Return whether the forks of a process that has loaded the model answer right."""
    return facts.thread == "" and "" in (facts.loop, facts.hidden)


def _is_of_threads(changed: tuple[str, ...]) -> bool:
    """Return whether a setting belongs to the thread that makes it, or needs the main thread."""
    return not {
        "scikit-learn's configuration",
        "torch's gradient mode",
        "signal handlers",
    }.isdisjoint(changed)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    unique = list(dict.fromkeys(names))
    more = f" and {len(unique) - SHOWN} more" if len(unique) > SHOWN else ""
    return ", ".join(unique[:SHOWN]) + more
