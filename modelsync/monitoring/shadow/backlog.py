"""The predictions that wait for a connection to the candidate."""

from __future__ import annotations

import threading
from collections import deque

from modelsync.monitoring.shadow.requests import ShadowRequest

MAX_REQUESTS, MAX_BYTES = 1_000, 32 * 1024**2
"""Predictions, and bytes of them, that wait; any more are dropped."""


class Backlog:
    """A queue of bounded size that several threads fill and empty."""

    def __init__(self) -> None:
        self._waiting: deque[ShadowRequest] = deque()
        self._bytes = 0
        self._changed = threading.Condition()

    def put(self, request: ShadowRequest) -> bool:
        """Add a prediction; false if there is no room for it."""
        with self._changed:
            if len(self._waiting) >= MAX_REQUESTS or self._bytes + request.size > MAX_BYTES:
                return False
            self._waiting.append(request)
            self._bytes += request.size
            self._changed.notify()
            return True

    def take(self) -> ShadowRequest:
        """Wait for a prediction and remove it: the oldest one."""
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            request = self._waiting.popleft()
            self._bytes -= request.size
            return request
