"""Several requests in one call."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelsync.errors import VariablesInvalid
from modelsync.inference.runners import InProcessRunner
from modelsync.models.types import LoadedModel, ModelName, ModelSpec, TreeHash
from modelsync.protocols.native import NATIVE


def model(call_batch: Any, **more: Any) -> LoadedModel:
    def one(variables: dict[str, Any]) -> Any:
        return call_batch([variables])[0]

    spec = ModelSpec(ModelName("M"), Path("M"), TreeHash("0" * 40))
    return LoadedModel(spec, one, bind=lambda row: row, call_batch=call_batch, **more)


def predict_batch(model: LoadedModel, payloads: list[bytes]) -> list[bytes | BaseException]:
    return InProcessRunner(model).call_batch(payloads, NATIVE)


def body(number: object) -> bytes:
    return b'{"variables": {"n": %s}}' % str(number).encode()


def test_each_request_gets_its_own_result() -> None:
    """In the order in which they came."""
    found = predict_batch(
        model(lambda rows: [{"n": row["n"] * 2} for row in rows]), [body(n) for n in range(5)]
    )
    assert found == [b'{"n":%d}' % (2 * n) for n in range(5)]


def test_what_cannot_be_read_fails_alone() -> None:
    """Malformed JSON and an exception in the place of a result."""
    refused = VariablesInvalid(())

    def call(rows: list[dict[str, Any]]) -> list[Any]:
        return [refused if row["n"] == 2 else row for row in rows]

    found = predict_batch(model(call), [body(1), b"{", body(2), body(3)])
    assert [found[0], found[3]] == [b'{"n":1}', b'{"n":3}']
    assert found[2] is refused
    assert isinstance(found[1], Exception)


def test_code_of_a_model_that_exits_beside_its_call_fails_alone() -> None:
    """A validator, and a method of a result: neither ends the worker."""

    class Result:
        def tolist(self) -> None:
            raise KeyboardInterrupt

    def bind(row: dict[str, Any]) -> dict[str, Any]:
        if row["n"] == 13:
            raise SystemExit(3)
        return row

    def call(rows: list[dict[str, Any]]) -> list[Any]:
        return [{"n": Result()} if row["n"] == 14 else row for row in rows]

    found = predict_batch(replace(model(call), bind=bind), [body(1), body(13), body(14), body(2)])
    assert [found[0], found[3]] == [b'{"n":1}', b'{"n":2}']
    assert isinstance(found[1], SystemExit)
    assert isinstance(found[2], KeyboardInterrupt)


def test_a_call_that_raises_is_repeated_for_each_alone() -> None:
    """The one to blame fails, the others are answered."""

    def call(rows: list[dict[str, Any]]) -> list[Any]:
        if any(row["n"] == 13 for row in rows):
            raise SystemExit(3)
        return rows

    found = predict_batch(model(call), [body(1), body(13), body(2)])
    assert [found[0], found[2]] == [b'{"n":1}', b'{"n":2}']
    assert isinstance(found[1], SystemExit)


def test_a_result_of_another_length_is_no_answer() -> None:
    """Too few or too many results cannot be told apart from mixed-up ones: every request fails."""
    found = predict_batch(model(lambda rows: rows[1:]), [body(1), body(2)])
    assert [isinstance(one, Exception) for one in found] == [True, True]


def test_batches_of_a_model_that_writes_to_itself_do_not_overlap() -> None:
    """Its lock is held around each call."""
    inside = overlapped = 0
    waiting = threading.Event()

    def call(rows: list[dict[str, Any]]) -> list[Any]:
        nonlocal inside, overlapped
        inside += 1
        overlapped += inside > 1
        waiting.wait(0.05)
        inside -= 1
        return rows

    locked = model(call, lock=threading.Lock())
    threads = [
        threading.Thread(target=predict_batch, args=(locked, [body(n), body(n)])) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlapped == 0
