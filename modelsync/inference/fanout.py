"""One request to several models side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from modelsync.errors import RequestError
from modelsync.inference.codec import Codec
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.outcome import Done, Outcome
from modelsync.inference.thread_pool import PoolTask
from modelsync.inference.timeouts import Ticket

Outcomes = Mapping[str, Outcome]
"""The outcomes by the names of the models, in the order in which the models were asked."""


def submit_all(
    dataplane: DataPlane,
    payload: bytes,
    codec: Codec,
    request_id: str,
    done: Callable[[Outcomes], None],
    names: Sequence[str] = (),
) -> None:
    """Ask all models, or those of `names`, without waiting: `done` gets all outcomes at once.

    Raises MalformedBody before any model is asked.
    """
    wanted = list(dict.fromkeys(names)) or dataplane.names
    codec.decode(payload)
    if not wanted:
        done({})
        return
    gathered: dict[str, Outcome] = {}
    lock = threading.Lock()

    def collect(name: str) -> Done:
        def keep(outcome: Outcome) -> None:
            with lock:
                gathered[name] = outcome
                last = len(gathered) == len(wanted)
            if last:
                done({each: gathered[each] for each in wanted})

        return keep

    for name in wanted:
        dataplane.submit(name, payload, codec, request_id, collect(name))


def decode_and_submit_all(
    dataplane: DataPlane,
    payload: bytes,
    codec: Codec,
    request_id: str,
    done: Callable[[Outcomes], None],
    refuse: Callable[[RequestError], None],
    names: Sequence[str] = (),
) -> None:
    """Do as `submit_all` in a thread of the pool: a large body takes long to decode.

    `refuse` gets MalformedBody, or DeadlineExceeded. Raises Overloaded.
    """

    def work(ticket: Ticket) -> None:
        if not ticket.claim():
            return
        try:
            submit_all(dataplane, payload, codec, request_id, done, names)
        except RequestError as error:
            refuse(error)

    dataplane.pool.submit(PoolTask("all", work, refuse, {"request_id": request_id}))


def predict_all(
    dataplane: DataPlane,
    payload: bytes,
    codec: Codec,
    request_id: str,
    names: Sequence[str] = (),
) -> Outcomes:
    """Ask all models, or those of `names`, and wait; for callers that may block.

    Raises MalformedBody before any model is asked.
    """
    future: Future[Outcomes] = Future()
    submit_all(dataplane, payload, codec, request_id, future.set_result, names)
    return future.result()
