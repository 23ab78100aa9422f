"""Custom runtimes, as MLServer's documentation has them, so that both models are the same as
everywhere.
"""

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from twomodels import classify, iris, score


class Score(MLModel):
    async def load(self) -> bool:
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        a, b = (one.data.root[0] for one in payload.inputs)
        return self._answer(
            ResponseOutput(name="score", shape=[1], datatype="FP64", data=[score(a, b)["score"]])
        )

    def _answer(self, *outputs: ResponseOutput) -> InferenceResponse:
        return InferenceResponse(model_name=self.name, outputs=list(outputs))


class Iris(Score):
    async def load(self) -> bool:
        iris()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        result = classify([one.data.root[0] for one in payload.inputs])
        return self._answer(
            ResponseOutput(
                name="prediction", shape=[1], datatype="INT64", data=[result["prediction"]]
            ),
            ResponseOutput(
                name="probabilities", shape=[1, 3], datatype="FP64", data=result["probabilities"]
            ),
        )
