"""Custom predictors, as KServe's documentation has them, behind its v1 protocol."""

import logging
import os
from typing import Any

from kserve import Model, ModelServer
from twomodels import FEATURES, classify, iris, score


class Score(Model):
    def load(self) -> bool:
        self.ready = True
        return True

    async def predict(
        self, payload: dict[str, Any], headers: Any = None, response_headers: Any = None
    ) -> Any:
        return {"predictions": [score(one["a"], one["b"]) for one in payload["instances"]]}


class Iris(Score):
    def load(self) -> bool:
        iris()
        return super().load()

    async def predict(
        self, payload: dict[str, Any], headers: Any = None, response_headers: Any = None
    ) -> Any:
        return {
            "predictions": [
                classify([one[name] for name in FEATURES]) for one in payload["instances"]
            ]
        }


if __name__ == "__main__":
    model = {"score": Score, "iris": Iris}[os.environ["MODEL"]](os.environ["MODEL"])
    model.load()
    server = ModelServer()
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("kserve.trace").disabled = True
    server.start([model])
