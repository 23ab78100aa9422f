"""One request in a WSGI application (PEP 3333): its environment, its answer part by part.

An application that has nothing to say yet yields an empty string, as the specification asks of
it. It is then asked again after a pause, and meanwhile takes no thread: so an answer may wait for
an event, also before its first byte.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote_to_bytes

from modelsync.server.request import Request

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MAY_PAUSE = "modelsync.may_pause"
"""In the environment: whether the application may yield empty strings. Servers other than ours do
not set it: they need a thread for each request anyway.
"""

State = Literal["more", "paused", "ended"]


class WSGICall:
    """A request, and the answer that the application makes of it.

    `status` is 0 until the answer has begun. `length`: of its body in bytes as the application
    declares it, None if it does not.
    """

    def __init__(self, app: WSGIApplication, environ: dict[str, Any]) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self._app = app
        self._environ = environ
        self._written = io.BytesIO()
        self._made: Iterable[bytes] = ()
        self._chunks: Iterator[bytes] | None = None
        self._size = 0

    @property
    def length(self) -> int | None:
        """The declared length of the body in bytes."""
        value = next(
            (value for name, value in self.headers if name.lower() == "content-length"), ""
        )
        return int(value) if value.isdigit() else None

    def read(self, size: int) -> tuple[bytes, State]:
        """Return the next part of the body, of at least `size` bytes unless the state is another
        than `more`. Raises whatever the application raises.
        """
        if self._chunks is None:
            self._made = self._app(self._environ, self._start_response)
            self._chunks = iter(self._made)
        state: State = "ended"
        for chunk in self._chunks:
            self._written.write(chunk)
            if not chunk:
                state = "paused"
                break
            if self._written.tell() >= size and not self._is_whole():
                state = "more"
                break
        data = self._written.getvalue()
        self._written = io.BytesIO()
        self._size += len(data)
        return data, state

    def close(self) -> None:
        """Tell the application that nothing more is asked of it."""
        made, self._made = self._made, ()
        if hasattr(made, "close"):
            made.close()

    def _is_whole(self) -> bool:
        return self._size + self._written.tell() == self.length

    def _start_response(
        self, line: str, fields: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], Any]:
        self.status = int(line.split(" ", 1)[0])
        self.headers = fields
        return self._written.write


def environment(request: Request, host: str, port: int, *, may_pause: bool) -> dict[str, Any]:
    """Return the WSGI environment of a request to the server at this address."""
    size, body = request.content()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method.decode("latin-1"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query.decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "CONTENT_LENGTH": str(size),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "modelsync.request_id": request.request_id,
        MAY_PAUSE: may_pause,
    }
    for name, value in request.headers:
        text = value.decode("latin-1")
        if name == b"content-type":
            environ["CONTENT_TYPE"] = text
        # A name with an underscore could be taken for another header: dropped, as nginx does.
        elif name != b"content-length" and b"_" not in name:
            key = f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
            environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ
