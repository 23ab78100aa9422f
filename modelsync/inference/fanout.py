"""One request to several models side by side: `POST /<base>/all`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future

import orjson

from modelsync import problems
from modelsync.errors import RequestError
from modelsync.inference.dataplane import DataPlane, Done
from modelsync.problems import Answer
from modelsync.protocols.native import parse


def submit_all(
    dataplane: DataPlane,
    body: bytes,
    request_id: str,
    done: Done,
    *,
    names: Sequence[str] = (),
    flat: bool = False,
) -> None:
    """Answer for every model (or `names`) without waiting: a JSON object with each result under its
    model's name.

    One that fails holds its problem under its own name. `flat` merges the results into one object.
    """
    wanted = list(dict.fromkeys(names)) or dataplane.names
    try:
        parse(body)
    except RequestError as error:
        done(problems.answer(error, request_id=request_id, release=dataplane.release))
        return
    if not wanted:
        done(Answer(200, b"{}"))
        return
    gathered: dict[str, Answer] = {}
    lock = threading.Lock()

    def collect(name: str) -> Done:
        def keep(answer: Answer) -> None:
            with lock:
                gathered[name] = answer
                last = len(gathered) == len(wanted)
            if last:
                done(Answer(200, _merged([(one, gathered[one]) for one in wanted], flat=flat)))

        return keep

    for name in wanted:
        dataplane.submit(name, body, request_id, collect(name))


def answer_all(
    dataplane: DataPlane,
    body: bytes,
    request_id: str,
    *,
    names: Sequence[str] = (),
    flat: bool = False,
) -> Answer:
    """`submit_all`, waiting for the answer; for a caller that has a thread to spend."""
    future: Future[Answer] = Future()
    submit_all(dataplane, body, request_id, future.set_result, names=names, flat=flat)
    return future.result()


def _merged(answers: Iterable[tuple[str, Answer]], *, flat: bool) -> bytes:
    """The answers as one JSON object; with `flat`, the members of all results side by side."""
    if not flat:
        return (
            b"{"
            + b",".join(orjson.dumps(name) + b":" + answer.body for name, answer in answers)
            + b"}"
        )
    members: dict[str, object] = {}
    for name, answer in answers:
        found = orjson.loads(answer.body)
        members.update(found if answer.status == 200 else {name: found})
    return orjson.dumps(members)
