"""Which errors of a model may pass by themselves."""

from __future__ import annotations

import errno
import socket
import sqlite3
import urllib.error
from email.message import Message

import pytest
import requests

from modelsync.models.transient_errors import is_transient


class OperationalError(Exception):
    """As each driver of a database has one."""


class HttpError(Exception):
    def __init__(self, status: int) -> None:
        self.response = requests.Response()
        self.response.status_code = status


def http(code: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://a", code, "x", Message(), None)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(111, "refused"),
        TimeoutError("late"),
        socket.gaierror(-2, "Name or service not known"),
        urllib.error.URLError(ConnectionRefusedError(111, "refused")),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EMFILE, "many"),
        MemoryError(),
        OperationalError("could not connect to server"),
        sqlite3.OperationalError("database is locked"),
        requests.ConnectionError("away"),
        requests.Timeout("late"),
        http(503),
        HttpError(429),
    ],
    ids=repr,
)
def test_what_may_pass(error: Exception) -> None:
    """A service that is away, a full disk, too little memory; also as the cause of another one."""
    assert is_transient(error)
    outer = RuntimeError("cannot load")
    outer.__cause__ = error
    assert is_transient(outer)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        ImportError("x"),
        FileNotFoundError(errno.ENOENT, "x"),
        PermissionError(errno.EACCES, "x"),
        sqlite3.OperationalError("no such table: t"),
        SystemExit(3),
        http(404),
        HttpError(401),
    ],
    ids=repr,
)
def test_what_stays(error: BaseException) -> None:
    """Only another version, or another set-up, cures these."""
    assert not is_transient(error)


def test_a_context_that_was_suppressed_does_not_count() -> None:
    """`raise ... from None` says that the earlier error does not matter."""
    error = ValueError("x")
    error.__context__ = ConnectionError("away")
    assert is_transient(error)
    error.__suppress_context__ = True
    assert not is_transient(error)
