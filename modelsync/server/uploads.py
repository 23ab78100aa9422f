"""Large bodies of PUT and PATCH: training data and ready models, which go to a file as they arrive.

Only who may train may send more than `MODELSYNC_MAX_BODY`.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import IO

from modelsync.errors import RequestError
from modelsync.server.auth import Authorizer
from modelsync.server.request import Request
from modelsync.server.rules import ProtocolError

log = logging.getLogger(__name__)

METHODS = frozenset({b"PUT", b"PATCH"})

IN_MEMORY = 1024**2
"""Bytes of a body up to which it stays in memory."""


class Uploads:
    """Where uploads of one worker go, and how large they may be, in bytes."""

    def __init__(self, folder: Path, authorizer: Authorizer, max_upload: int) -> None:
        self._folder = folder
        self._authorizer = authorizer
        self._max_upload = max_upload

    def largest(self, request: Request, max_body: int) -> int:
        """Return how large the body of a request may be, whose head is complete."""
        authorization = request.header(b"authorization")
        try:
            self._authorizer.require(
                "train", None if authorization is None else authorization.decode("latin-1")
            )
        except RequestError:
            return max_body
        return max(max_body, self._max_upload)

    def open(self, begin: list[bytes]) -> IO[bytes]:
        """Return a file that nobody else sees, with the begin of a body. Raises ProtocolError."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file: IO[bytes] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  the request's
        except OSError as error:
            raise _no_room(error) from None
        for part in begin:
            self.write(file, part)
        return file

    def write(self, file: IO[bytes], part: bytes) -> None:
        """Append to an upload. Raises ProtocolError if the disk is full."""
        try:
            file.write(part)
        except OSError as error:
            file.close()
            raise _no_room(error) from None


def _no_room(error: OSError) -> ProtocolError:
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    log.error("an upload cannot be kept in the state directory: %s", reason)
    return ProtocolError(503, f"there is no room for the body: {reason}")
