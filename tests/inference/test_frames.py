"""Frames: each request is answered once, by the model, by the deadline or for want of room."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from modelsync.errors import DeadlineExceeded, Overloaded
from modelsync.inference.dispatch import DispatchedRunner, Frame
from modelsync.inference.model_runner import RawOutcome
from modelsync.inference.outcome import Done, Outcome
from modelsync.inference.pending import PendingRequest
from modelsync.inference.timeouts import Timeouts
from modelsync.models.types import LoadedModel, ModelName, ModelSpec, TreeHash
from modelsync.models.versions import FittedVersion
from modelsync.observability import totals
from modelsync.observability.counters import Counters
from modelsync.protocols.native import NATIVE
from tests.waiting import patient, until


class Kept(DispatchedRunner):
    """Keeps the frames that it is given."""

    def __init__(self) -> None:
        spec = ModelSpec(ModelName("M"), Path("M"), version=TreeHash("a" * 40))
        super().__init__(LoadedModel(spec, call=lambda variables: variables))
        self.frames: list[Frame] = []
        self.late: list[Frame] = []

    def dispatch(self, frame: Frame) -> None:
        self.frames.append(frame)

    def expired(self, frame: Frame) -> None:
        self.late.append(frame)

    def fitted(self, version: FittedVersion | None) -> Kept:
        return self

    def warm_up(self) -> None: ...

    def close(self) -> None: ...


def send(
    runner: Kept, folder: Path, requests: int, seconds: float = 60.0
) -> tuple[Frame, list[list[Outcome]]]:
    """A frame of so many requests, and the outcomes that each of them gets."""
    outcomes: list[list[Outcome]] = [[] for _ in range(requests)]
    pending = [
        PendingRequest(b"{}", str(index), outcomes[index].append) for index in range(requests)
    ]
    row = Counters(folder, ["M"]).rows["M"]

    def explain(outcome: RawOutcome, model: LoadedModel, request_id: str, done: Done) -> None:
        assert isinstance(outcome, bytes | Overloaded | DeadlineExceeded)
        done(outcome)

    def post(answer: Callable[[], None]) -> None:
        answer()

    frame = Frame(runner, pending, NATIVE, row, explain, post)
    frame.send(Timeouts(seconds))
    return frame, outcomes


def test_what_there_is_no_room_for_is_refused_and_the_rest_is_called(tmp_path: Path) -> None:
    """One is being called and one waits; the others are told so at once."""
    runner = Kept()
    runner.max_waiting = 1
    frame, outcomes = send(runner, tmp_path, 5)
    assert [len(each) for each in outcomes] == [0, 0, 1, 1, 1]
    assert all(type(each[0]) is Overloaded for each in outcomes[2:])
    assert (runner.waiting, frame.unanswered) == (2, [0, 1])
    assert [len(one.payloads) for one in runner.frames] == [2]
    frame.answer([(0, b"zero"), (1, b"one")])
    assert (runner.waiting, outcomes[:2]) == (0, [[b"zero"], [b"one"]])
    assert totals.in_flight(tmp_path, int(next(tmp_path.glob("*.counters")).stem)) == []


def test_many_threads_answer_each_request_once(tmp_path: Path) -> None:
    """Also if several answer the same one; nothing is left in the count."""
    runner = Kept()
    frame, outcomes = send(runner, tmp_path, 200)
    with ThreadPoolExecutor(8) as threads:
        for number in range(8):
            answers = [(index, str(number).encode()) for index in range(200)]
            threads.submit(frame.answer, answers)
    assert [len(each) for each in outcomes] == [1] * 200
    assert (runner.waiting, frame.finished) == (0, True)


def test_the_deadline_answers_what_the_model_has_not(tmp_path: Path) -> None:
    """The runner is told, once; an answer that comes later goes to nobody."""
    runner = Kept()
    frame, outcomes = send(runner, tmp_path, 2, seconds=patient(0.1))
    frame.answer([(0, b"in time")])
    until(lambda: outcomes[1])
    frame.answer([(1, b"too late")])
    assert outcomes[0] == [b"in time"]
    assert [type(one) for one in outcomes[1]] == [DeadlineExceeded]
    assert until(lambda: runner.late == [frame])
    assert runner.waiting == 0
