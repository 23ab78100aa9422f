"""The messages between a worker and a runner process: requests one way, answers the other.

Both are binary and length-prefixed, on a stream socket; all integers are little-endian. A message
holds up to `MAX_REQUESTS` requests for one model, or as many answers to requests of one message.
Nothing is pickled: a runner may be of another version of Python, and its model is not trusted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from modelsync import errors, json_text

MAX_REQUESTS = 256
"""Requests in one message; a batch is never larger."""

MAX_PAYLOAD = 16 * 1024**2
"""Bytes of payloads after which the next request begins another message."""

MAX_MESSAGE = 1024**3
"""Bytes of a message; a longer one is a fault of the other side."""

_LENGTH = struct.Struct("<I")
# length of the rest, number, kind, model, version, requests, deadline
_CALL = struct.Struct("<IIBHIHd")
_REQUEST = struct.Struct("<HI")  # lengths of id and payload
_CALL_REST = struct.Struct("<IBHIHd")
_ANSWERS = struct.Struct("<IIH")  # length of the rest, number, answers
_ANSWERS_REST = struct.Struct("<IH")
_ANSWER = struct.Struct("<HBI")  # index, kind, length
_RESULT, _ERROR = 0, 1

PREDICT, LOAD, RELEASE = range(3)
"""What a message to a runner asks for: predictions; to load a version, or keep one that is loaded;
to forget that this worker has asked for it.
"""


class MessageError(Exception):
    """The other side has sent what is no message."""


class Call(NamedTuple):
    """Requests for a fitted version of the model with the number `model`; 0 for none of it.

    `number` identifies the message on its connection; `deadline` is in seconds of the monotonic
    clock, which all processes share.
    """

    number: int
    model: int
    deadline: float
    identities: Sequence[str]
    payloads: Sequence[bytes]
    version: int = 0
    kind: int = PREDICT


class Answers(NamedTuple):
    """Answers to requests of the message `number`: index and outcome of each."""

    number: int
    outcomes: Sequence[tuple[int, bytes | errors.RequestError]]


# --- writing --------------------------------------------------------------------------------------


def pack_call(call: Call) -> bytes:
    """Return a call as a message."""
    identities = [identity.encode("utf-8", "replace")[:0xFFFF] for identity in call.identities]
    lengths = [
        _REQUEST.pack(len(identity), len(payload))
        for identity, payload in zip(identities, call.payloads, strict=True)
    ]
    parts = [*lengths, *identities, *call.payloads]
    size = sum(map(len, parts)) + _CALL_REST.size
    head = _CALL.pack(
        size, call.number, call.kind, call.model, call.version, len(lengths), call.deadline
    )
    return b"".join((head, *parts))


def pack_answers(answers: Answers) -> bytes:
    """Return answers as a message."""
    parts: list[bytes] = []
    for index, outcome in answers.outcomes:
        kind, content = (
            (_RESULT, outcome) if isinstance(outcome, bytes) else (_ERROR, _pack_error(outcome))
        )
        parts += (_ANSWER.pack(index, kind, len(content)), content)
    size = sum(map(len, parts)) + _ANSWERS_REST.size
    return b"".join((_ANSWERS.pack(size, answers.number, len(answers.outcomes)), *parts))


def split(payloads: Sequence[bytes]) -> Iterator[slice]:
    """Divide the requests of a turn into those of one message each."""
    start = size = 0
    for index, payload in enumerate(payloads):
        if index - start == MAX_REQUESTS or (index > start and size + len(payload) > MAX_PAYLOAD):
            yield slice(start, index)
            start, size = index, 0
        size += len(payload)
    if start < len(payloads):
        yield slice(start, len(payloads))


# --- reading --------------------------------------------------------------------------------------


class MessageReader:
    """Cuts the bytes of a stream into messages, without their length."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._wanted = 0

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that `data` completes. Raises MessageError."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._wanted:  # a long message comes in many parts
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        found, position, end = [], 0, len(data)
        while end - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, position)
            if length > MAX_MESSAGE:
                raise MessageError(f"a message of {length} bytes")
            after = position + _LENGTH.size + length
            if after > end:
                self._wanted = after - position
                break
            found.append(data[position + _LENGTH.size : after])
            position = after
        else:
            self._wanted = _LENGTH.size
        if position < end:
            self._buffer += data[position:] if position else data
        return found


def unpack_call(message: bytes) -> Call:
    """Read a call. Raises MessageError."""
    try:
        number, kind, model, version, count, deadline = _CALL_REST.unpack_from(message)
        position = _CALL_REST.size
        lengths = list(_REQUEST.iter_unpack(message[position : position + count * _REQUEST.size]))
        position += count * _REQUEST.size
        identities, payloads = [], []
        for length, _ in lengths:
            identities.append(message[position : position + length].decode())
            position += length
        for _, length in lengths:
            payloads.append(message[position : position + length])
            position += length
    except (struct.error, UnicodeDecodeError) as error:
        raise MessageError(str(error)) from None
    return Call(number, model, deadline, identities, payloads, version, kind)


def unpack_answers(message: bytes) -> Answers:
    """Read answers. Raises MessageError."""
    try:
        number, count = _ANSWERS_REST.unpack_from(message)
        position = _ANSWERS_REST.size
        outcomes: list[tuple[int, bytes | errors.RequestError]] = []
        for _ in range(count):
            index, kind, length = _ANSWER.unpack_from(message, position)
            position += _ANSWER.size
            content = message[position : position + length]
            position += length
            outcomes.append((index, content if kind == _RESULT else _unpack_error(content)))
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise MessageError(str(error)) from None
    return Answers(number, outcomes)


# --- errors ---------------------------------------------------------------------------------------


def _pack_error(error: errors.RequestError) -> bytes:
    """Return an error as JSON: its reason, its text, and what only its kind has."""
    values: dict[str, Any] = {"reason": error.reason, "detail": str(error)}
    match error:
        case errors.VariablesInvalid():
            values["fields"] = [[one.field, one.message] for one in error.fields]
        case errors.MalformedBody():
            values["position"] = error.position
        case errors.ModelRaised():
            values["kind"] = error.kind
            values["detail"] = str(error).removeprefix(error.kind).removeprefix(": ")
        case errors.RequestRejected():
            values |= {"kind": error.kind, "status": error.status}
        case errors.ModelUnavailable() | errors.Overloaded():
            values["retry_after"] = error.retry_after
    return json_text.dump_lossy(values)


_PLAIN: dict[str, type[errors.RequestError]] = {
    kind.reason: kind
    for kind in (
        errors.DeadlineExceeded,
        errors.NotFitted,
        errors.UnknownVersion,
        errors.VersionRefused,
        errors.DataInvalid,
    )
}
"""Errors that are no more than their text."""


def _unpack_error(content: bytes) -> errors.RequestError:
    """Make the error that `_pack_error` has written."""
    values: dict[str, Any] = json_text.loads(content)
    detail: str = values["detail"]
    match values["reason"]:
        case errors.VariablesInvalid.reason:
            fields = [errors.InvalidField(str(name), str(said)) for name, said in values["fields"]]
            return errors.VariablesInvalid(fields)
        case errors.MalformedBody.reason:
            return errors.MalformedBody(detail, values["position"])
        case errors.RequestRejected.reason:
            return errors.RequestRejected(int(values["status"]), detail, str(values["kind"]))
        case errors.ModelUnavailable.reason:
            return errors.ModelUnavailable(detail, values["retry_after"])
        case errors.Overloaded.reason:
            return errors.Overloaded(detail, values["retry_after"])
    if kind := _PLAIN.get(values["reason"]):
        return kind(detail)
    return errors.ModelRaised(str(values.get("kind", "Exception")), detail)
