"""Routes of socketify itself, on uWebSockets, as its documentation has them; the body is read by
callback, which spares it a task of asyncio for each request.
"""

from collections.abc import Callable
from typing import Any

import orjson
from twomodels import FEATURES, classify, iris, score


def _score(variables: dict[str, Any]) -> Any:
    return score(variables["a"], variables["b"])


def _iris(variables: dict[str, Any]) -> Any:
    return classify([variables[name] for name in FEATURES])


def _route(predict: Callable[[dict[str, Any]], Any]) -> Callable[[Any, Any], None]:
    def handle(response: Any, request: Any) -> None:
        parts: list[bytes] = []

        def on_data(_: Any, chunk: bytes, is_last: bool, *__: Any) -> None:
            parts.append(chunk)
            if is_last:
                found = predict(orjson.loads(b"".join(parts))["variables"])
                # of the outer function: nothing else keeps the response alive until here
                response.cork_send(orjson.dumps(found), b"application/json")

        response.on_data(on_data)

    return handle


def app(server: Any) -> None:
    """Add the routes; the command calls it with its server."""
    iris()
    server.post("/score", _route(_score))
    server.post("/iris", _route(_iris))
