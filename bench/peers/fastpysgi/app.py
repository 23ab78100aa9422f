"""A bare WSGI function: orjson in, orjson out, no framework."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson
from twomodels import FEATURES, classify, iris, score

iris()
HEADERS = [("Content-Type", "application/json")]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    variables = orjson.loads(environ["wsgi.input"].read())["variables"]
    if environ["PATH_INFO"] == "/score":
        found = score(variables["a"], variables["b"])
    else:
        found = classify([variables[name] for name in FEATURES])
    start_response("200 OK", HEADERS)
    return [orjson.dumps(found)]
