"""The data plane answers each request, whatever a model raises."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelsync.errors import DeadlineExceeded, ModelRaised
from modelsync.extension_types import compiled
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.interrupt import CallTimeout
from modelsync.inference.loop_executor import LoopExecutor
from modelsync.inference.outcome import Outcome
from modelsync.inference.runners import InProcessRunner
from modelsync.models.types import LoadedModel, ModelName, ModelSpec, TreeHash
from modelsync.observability import totals
from modelsync.observability.counters import Counters, LoopRow
from modelsync.protocols.native import NATIVE
from tests.waiting import patient

BODY = b'{"variables": {}}'


class NoClass(Exception):
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise ValueError("no class")


class Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit(3)


class NoName(Exception, metaclass=Nameless):
    pass


KINDS = {"no class": NoClass, "no name": NoName}
"""By a name, because pytest asks for `__name__`, too."""


def raises(kind: type[Exception]) -> Callable[[dict[str, Any]], Any]:
    def call(variables: dict[str, Any]) -> Any:
        raise kind

    return call


@contextmanager
def dataplane(
    folder: Path, call: Callable[[dict[str, Any]], Any], *, seconds: float | None = None
) -> Iterator[DataPlane]:
    spec = ModelSpec(ModelName("M"), Path("M"), TreeHash("0" * 40))
    model = LoadedModel(spec, call)
    model.call_seconds = seconds
    counters = Counters(folder, ["M"])
    runners = {"M": InProcessRunner(model)}
    yield DataPlane(runners, {}, counters, release="r", threads=1, max_queue=9, timeout=patient(5))
    (total,) = totals.read(folder).values()
    assert total.in_flight == 0


async def ask_in_loop(plane: DataPlane) -> list[Outcome]:
    """Send three requests in one turn of the event loop."""
    loop = asyncio.get_running_loop()
    executor = LoopExecutor(plane, loop)
    futures = [loop.create_future() for _ in range(3)]
    for future in futures:
        executor.submit("M", BODY, NATIVE, "id", future.set_result)
    outcomes = await asyncio.wait_for(asyncio.gather(*futures), patient(3))
    assert executor._watchdog.calling == ""
    return outcomes


@pytest.mark.parametrize("name", KINDS)
def test_an_exception_that_cannot_be_shown_is_an_answer_in_threads(
    tmp_path: Path, name: str
) -> None:
    """At once, and its thread serves on: this pool has one."""
    with dataplane(tmp_path, raises(KINDS[name])) as plane:
        for _ in range(2):
            future: Future[Outcome] = Future()
            plane.submit("M", BODY, NATIVE, "id", future.set_result)
            assert isinstance(future.result(patient(3)), ModelRaised)


@pytest.mark.parametrize("name", KINDS)
def test_an_exception_that_cannot_be_shown_is_an_answer_in_the_loop(
    tmp_path: Path, name: str
) -> None:
    """Requests of the same turn get theirs, too."""
    with dataplane(tmp_path, raises(KINDS[name]), seconds=1e-5) as plane:
        outcomes = asyncio.run(ask_in_loop(plane))
        assert [type(outcome) for outcome in outcomes] == [ModelRaised] * 3
    assert totals.read(tmp_path)["M"].reasons == {"model_error": 3.0}


def test_an_answer_that_fails_leaves_the_thread_in_the_pool(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if the traceback of the failure cannot be logged."""

    def fail(outcome: Outcome) -> None:
        raise NoName

    with dataplane(tmp_path, lambda variables: {}) as plane, caplog.at_level(logging.ERROR):
        plane.submit("M", BODY, NATIVE, "id", fail)
        assert plane.predict("M", BODY, NATIVE, "id") == b"{}"
        assert plane.pool.running == 0
    assert "failed outside the model" in caplog.text


@pytest.mark.skipif(compiled(), reason="nothing interrupts compiled code, nor is it replaced")
def test_an_interrupt_in_the_end_of_a_call_counts_and_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call is no longer in flight, nor watched; its request has run out of time."""
    ends, interrupted = LoopRow.succeeded, iter([True])

    def end(row: LoopRow, seconds: float) -> None:
        if next(interrupted, False):
            raise CallTimeout
        ends(row, seconds)

    monkeypatch.setattr(LoopRow, "succeeded", end)
    with dataplane(tmp_path, lambda variables: {}, seconds=1e-5) as plane:
        (first, *others) = asyncio.run(ask_in_loop(plane))
        assert isinstance(first, DeadlineExceeded)
        assert others == [b"{}"] * 2
    assert totals.read(tmp_path)["M"].reasons == {"ok": 2.0, "timeout": 1.0}
