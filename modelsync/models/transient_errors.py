"""Tells errors that may pass by themselves from those that only a new version cures.

A database that was away, a full disk, too little memory: a model that fails for such a reason is
tried again. Where it is unclear the answer is no; a wrong yes costs only more checks.
"""

from __future__ import annotations

import errno

MAX_CHAIN = 8
"""Exceptions of a chain that are looked at."""

_NUMBERS = frozenset(
    {
        errno.EAGAIN, errno.EBUSY, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET,
        errno.EDQUOT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EINTR, errno.EIO, errno.EMFILE,
        errno.ENETDOWN, errno.ENETUNREACH, errno.ENFILE, errno.ENOLCK, errno.ENOMEM, errno.ENOSPC,
        errno.EPIPE, errno.ESTALE, errno.ETIMEDOUT, errno.ETXTBSY,
    }
)  # fmt: skip

# Names of the clients of databases and services: they do not share a base class.
_NAMES = frozenset(
    {
        "APIConnectionError", "AutoReconnect", "CannotConnectNowError", "ClientConnectionError",
        "ConnectError", "ConnectTimeout", "ConnectTimeoutError", "ConnectionClosed",
        "ConnectionDoesNotExistError", "ConnectionError", "ConnectionTimeout", "DNSException",
        "EndpointConnectionError", "InterfaceError", "KafkaConnectionError", "KafkaTimeoutError",
        "MaxRetryError", "NetworkError", "NetworkTimeout", "NewConnectionError",
        "NoBrokersAvailable", "NoHostAvailable", "OperationalError", "PoolTimeout",
        "ProtocolError", "ProxyError", "ReadTimeout", "ReadTimeoutError", "RetryError",
        "ServerDisconnectedError", "ServerSelectionTimeoutError", "ServiceUnavailable", "Timeout",
        "TimeoutError", "TimeoutException", "TooManyConnectionsError", "TransportError",
        "TransientError",
    }
)  # fmt: skip

_SQLITE = ("locked", "disk is full", "disk i/o", "unable to open")
"""What sqlite says when it may work later; other operational errors of it are in the query."""


def is_transient(error: BaseException) -> bool:
    """Return whether an error, or one that led to it, may pass by itself."""
    seen = 0
    one: BaseException | None = error
    while one is not None and seen < MAX_CHAIN:
        try:
            if _is_transient(one):
                return True
        except Exception:  # noqa: BLE001  parts of an exception may be the model's code
            return False
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        seen += 1
    return False


def _is_transient(error: BaseException) -> bool:
    kind = type(error)
    if issubclass(kind, MemoryError | ConnectionError | TimeoutError):
        return True
    if isinstance(reason := getattr(error, "reason", None), OSError):  # of urllib
        return _is_transient(reason)
    status = _status(error)
    if status is not None:
        return status == 429 or status >= 500
    names = {one.__name__ for one in kind.__mro__}
    if kind.__module__ == "sqlite3":
        return "OperationalError" in names and any(word in str(error) for word in _SQLITE)
    if "gaierror" in names or "herror" in names or not names.isdisjoint(_NAMES):
        return True
    return issubclass(kind, OSError) and error.errno in _NUMBERS  # type: ignore[attr-defined]


def _status(error: BaseException) -> int | None:
    """Return the HTTP status that an error of a client of HTTP carries, else None."""
    response = getattr(error, "response", None)
    for holder, name in ((error, "code"), (response, "status_code"), (response, "status")):
        status = getattr(holder, name, None)
        if type(status) is int and 400 <= status < 600:
            return status
    return None
