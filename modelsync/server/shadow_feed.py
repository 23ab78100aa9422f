"""Hands a share of the predictions to the process that copies them to the candidate
(`monitoring.shadow`), once they are answered.

All of it runs in the worker's loop and waits for nothing: what finds no room is counted, and
dropped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from modelsync.inference.gaps import Gaps
from modelsync.monitoring.shadow import requests
from modelsync.monitoring.shadow.requests import FIELD, MAX_SIZE, SOCKET
from modelsync.problems import Answer
from modelsync.server.request import Request
from modelsync.server.streams import StreamedAnswer
from modelsync.settings import Settings

MAX_REQUESTS, MAX_BYTES = 5_000, 8 * 1024**2
"""Predictions, and bytes of them, that wait to be sent; as many again are being sent."""

PAUSE = 0.05
"""Seconds for which predictions gather before they are sent together."""

ENDING = 0.5
"""Seconds that the last ones have, at the end of the worker."""

UNANSWERED = frozenset({401, 403, 404, 405, 408, 413, 415, 429, 502, 503, 504})
"""Statuses of answers that no model gives, or that tell of this process alone."""


class ShadowFeed:
    """The predictions of one worker on their way to the process that copies them.

    `left`: how many are not copied before the next one that is. Where every microsecond counts, it
    is counted down in place of a call of `heard`. `authorized`: a copy needs the client's token.
    """

    def __init__(
        self, rate: float, home: Path, loop: asyncio.AbstractEventLoop, *, authorized: bool
    ) -> None:
        self._gaps = Gaps(rate)
        self._socket = home.absolute() / SOCKET
        self._loop = loop
        self._authorized = authorized
        self._waiting: list[tuple[str, bytes]] = []  # of which model, its message
        self._bytes = 0
        self._lost: Counter[str] = Counter()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._sending: asyncio.Task[None] | None = None
        self.left = self._gaps.next()

    @classmethod
    def of(cls, settings: Settings, loop: asyncio.AbstractEventLoop) -> ShadowFeed | None:
        """Return the feed of these settings; None if nothing is to be copied."""
        given = settings.shadow
        if not given.on:
            return None
        authorized = bool(settings.access.predict_tokens)
        return cls(given.rate, settings.state.home, loop, authorized=authorized)

    def following(
        self, model: str, request: Request, respond: Callable[[Answer], None]
    ) -> Callable[[Answer], None]:
        """Return what answers a request as `respond` does, and counts it then."""

        def answered(answer: Answer) -> None:
            respond(answer)
            self.heard(model, request, answer)

        return answered

    def heard(self, model: str, request: Request, answer: Answer) -> None:
        """Count a prediction that is answered, and have it copied if it is due.

        Not one that is a copy itself, nor an answer that no model has given.
        """
        if answer.status in UNANSWERED or request.header(FIELD) is not None:
            return
        self.left -= 1
        if self.left >= 0:
            return
        if type(answer) is StreamedAnswer:  # its body is not here, as it is large
            self.left = self._gaps.next()
            self._drop(model)
            return
        identity = request.request_id.encode()
        self.take(model, request, identity, request.body, answer.status, answer.body)

    def take(
        self,
        model: str,
        request: Request,
        request_id: bytes,
        body: bytes,
        status: int,
        answer: bytes,
    ) -> None:
        """Put a prediction aside; `request` has its path, query and fields."""
        self.left = self._gaps.next()
        size = len(body) + len(answer)
        is_full = len(self._waiting) >= MAX_REQUESTS or self._bytes + size > MAX_BYTES
        if size > MAX_SIZE or is_full:
            self._drop(model)
            return
        target = request.path + b"?" + request.query if request.query else request.path
        message = requests.pack(
            model,
            target,
            request.headers,
            request_id,
            body,
            status,
            answer,
            authorized=self._authorized,
        )
        self._bytes += size
        self._waiting.append((model, message))
        self._send_soon()

    async def close(self) -> None:
        """Send what waits, at the end of the worker; it is lost if that takes long."""
        if self._sending:
            await asyncio.wait([self._sending], timeout=ENDING)
        if self._writer:
            self._writer.close()

    def _drop(self, model: str) -> None:
        self._lost[model] += 1
        self._send_soon()

    def _send_soon(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = self._loop.create_task(self._send_all())

    async def _send_all(self) -> None:
        while self._waiting or self._lost:
            await asyncio.sleep(PAUSE)
            waiting, self._waiting, self._bytes = self._waiting, [], 0
            try:
                await self._send([message for _, message in waiting])
            except OSError:  # that process has ended, or does not run yet
                self._lost.update(model for model, _ in waiting)
                return  # the next prediction tries again

    async def _send(self, messages: list[bytes]) -> None:
        """Send predictions, and how many were lost. Raises OSError."""
        writer = await self._connected()
        if self._lost:
            messages.append(requests.pack_lost(self._lost))
            self._lost = Counter()
        writer.writelines(messages)
        await writer.drain()

    async def _connected(self) -> asyncio.StreamWriter:
        """Return a connection that is open. Raises OSError."""
        if self._reader and self._writer and self._reader.at_eof():
            self._writer.close()
        if not self._writer or self._writer.is_closing():
            with requests.address(self._socket) as address:
                self._reader, self._writer = await asyncio.open_unix_connection(address)
        return self._writer
