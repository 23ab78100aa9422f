"""Routes of Robyn, as its documentation has them: the router and the socket are Rust."""

import sys
from typing import Any

import orjson
from robyn import Headers, Request, Response, Robyn
from twomodels import FEATURES, classify, iris, score

app = Robyn(__file__)
HEADERS = Headers({"Content-Type": "application/json"})


def _answer(found: Any) -> Response:
    return Response(200, HEADERS, orjson.dumps(found))


@app.post("/score")
async def predict_score(request: Request) -> Response:
    variables = orjson.loads(request.body)["variables"]
    return _answer(score(variables["a"], variables["b"]))


@app.post("/iris")
async def predict_iris(request: Request) -> Response:
    variables = orjson.loads(request.body)["variables"]
    return _answer(classify([variables[name] for name in FEATURES]))


if __name__ == "__main__":
    iris()
    app.start(host="127.0.0.1", port=int(sys.argv[1]), _check_port=False)
