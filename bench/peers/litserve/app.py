"""One LitAPI per model, as LitServe's documentation has it."""

import sys
from typing import Any

import litserve
from twomodels import FEATURES, classify, iris, score


class Score(litserve.LitAPI):
    def setup(self, device: str) -> None:
        pass

    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["variables"]

    def predict(self, x: Any) -> Any:
        return score(x["a"], x["b"])

    def encode_response(self, output: Any) -> Any:
        return output


class Iris(Score):
    def setup(self, device: str) -> None:
        iris()

    def predict(self, x: Any) -> Any:
        return classify([x[name] for name in FEATURES])


if __name__ == "__main__":
    model, port, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    api = {"score": Score, "iris": Iris}[model](api_path=f"/{model}")
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=workers, fast_queue=True, timeout=False
    )
    server.run(
        host="127.0.0.1", port=port, num_api_servers=workers, log_level="warning",
        generate_client_file=False,
        access_log=False,
    )  # fmt: skip
