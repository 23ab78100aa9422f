"""One deployment per model behind Ray Serve's HTTP proxy."""

import signal
import sys
import threading
from typing import Any

import ray
from ray import serve
from starlette.requests import Request
from twomodels import FEATURES, classify, iris, score

LOGGING = {"log_level": "WARNING", "enable_access_log": False}


@serve.deployment(max_ongoing_requests=100, logging_config=LOGGING)
class Score:
    async def __call__(self, request: Request) -> dict[str, Any]:
        variables = (await request.json())["variables"]
        found: dict[str, Any] = score(variables["a"], variables["b"])
        return found


@serve.deployment(max_ongoing_requests=100, logging_config=LOGGING)
class Iris:
    def __init__(self) -> None:
        iris()

    async def __call__(self, request: Request) -> dict[str, Any]:
        variables = (await request.json())["variables"]
        found: dict[str, Any] = classify([variables[name] for name in FEATURES])
        return found


if __name__ == "__main__":
    model, port, workers, work = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    ray.init(num_cpus=4, include_dashboard=False, _temp_dir=work, object_store_memory=100 * 2**20)
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config=LOGGING)
    deployments: dict[str, Any] = {"score": Score, "iris": Iris}
    deployment = deployments[model].options(num_replicas=workers)
    serve.run(deployment.bind(), route_prefix=f"/{model}")
    ending.wait()
    serve.shutdown()
    ray.shutdown()
