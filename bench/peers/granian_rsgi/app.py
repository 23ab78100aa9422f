"""A bare RSGI application: orjson in, orjson out, no framework."""

from typing import Any

import orjson
from twomodels import FEATURES, classify, iris, score

iris()
HEADERS = [("content-type", "application/json")]


async def app(scope: Any, protocol: Any) -> None:
    variables = orjson.loads(await protocol())["variables"]
    if scope.path == "/score":
        found = score(variables["a"], variables["b"])
    else:
        found = classify([variables[name] for name in FEATURES])
    protocol.response_bytes(200, HEADERS, orjson.dumps(found))
