"""modelsync as a contestant: `modelsync serve` on a folder of models, with the settings that a
figure asks for.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from bench.peers import artefacts, compiled_package
from bench.peers.contestants import SHARED, Contestant, Launch, Start
from bench.peers.shapes import PIPELINES, SHAPES, VARIABLES, Model
from bench.peers.shared.twomodels import FEATURES, iris

ROOT = Path(__file__).parents[2]
TOKEN = "bench-token"
PATIENCE = "120s"
"""So that the first release has the compiled form, also on a busy machine."""
PACKAGES = ("gunicorn", "uvloop", "httptools", "orjson", "numpy", "scikit-learn")

SCORE = """
class Score:
    def transform_predict(self, variables: dict):
        return {"score": variables["a"] * 0.5 + variables["b"]}
"""

SIGNATURE = """
class Score:
    def transform_predict(self, a: float, b: float):
        return {"score": a * 0.5 + b}
"""

IRIS = f"""
import joblib

class Iris:
    def __init__(self, path):
        self.model = joblib.load(path + "model.joblib")

    def transform_predict(self, variables: dict):
        probabilities = self.model.predict_proba([[variables[name] for name in {FEATURES}]])[0]
        found = probabilities.tolist()
        return {{"prediction": int(probabilities.argmax()), "probabilities": found}}
"""


def write_models(root: Path, *, score: str = SCORE, copies: int = 1, ready: bool = False) -> None:
    """Both models as a user writes them; `ready`: the iris model as nothing but its artefact."""
    import joblib

    folders = {"score": root / "score", "iris": root / "iris"}
    for number in range(1, copies):
        folders[f"score{number}"] = root / f"score{number}"
    for name, folder in folders.items():
        kind: Model = "iris" if name == "iris" else "score"
        _write_example(folder, kind)
        if kind == "score":
            (folder / "etls.py").write_text(score)
            continue
        if not ready:
            (folder / "etls.py").write_text(IRIS)
        joblib.dump(_named() if ready else iris(), folder / "model.joblib")


def write_pipeline(root: Path, model: Model) -> None:
    """A pipeline as its user pushes it: the pickle, and the module of its own step."""
    folder = root / model
    _write_example(folder, model)
    shutil.copy(artefacts.folder() / f"{model}.joblib", folder / "model.joblib")
    if model == "custom":
        shutil.copy(SHARED / "ratios.py", folder)


def _write_example(folder: Path, model: Model) -> None:
    import orjson

    (folder / "examples").mkdir(parents=True)
    (folder / "examples" / "one.json").write_bytes(orjson.dumps({"variables": VARIABLES[model]}))


def _named() -> object:
    """The model as a data scientist saves it: fitted on a DataFrame, so that it knows its columns'
    names.
    """
    import pandas as pd
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True)
    return LogisticRegression(max_iter=1000).fit(pd.DataFrame(x, columns=list(FEATURES)), y)


def modelsync(
    key: str = "modelsync",
    name: str = "modelsync",
    *,
    log: bool = False,
    auth: bool = False,
    score: str = SCORE,
    copies: int = 1,
    ready: bool = False,
    settings: str = "",
    mypyc: bool = False,
    **env: str,
) -> Contestant:
    """modelsync in one variant. Log level `warning` is its switch for the access log; metrics are
    always on.
    """

    def launch(start: Start) -> Launch:
        if start.model in PIPELINES:
            write_pipeline(start.work / "models", start.model)
        else:
            write_models(start.work / "models", score=score, copies=copies, ready=ready)
        given = {
            "PYTHONPATH": str(compiled_package.build() if mypyc else ROOT),
            "MODELSYNC_HOME": str(start.work / "home"),
            "MODELSYNC_MODELS": str(start.work / "models"), "MODELSYNC_PORT": str(start.port),
            "MODELSYNC_WORKERS": str(start.workers), "MODELSYNC_SYNC_CRON": "off",
            "MODELSYNC_LOG_FORMAT": "json",
            "MODELSYNC_LOG_LEVEL": "info" if log else "warning",
            **({"MODELSYNC_PREDICT_TOKENS": f"other-token,{TOKEN}"} if auth else {}), **env,
        }  # fmt: skip
        return Launch([sys.executable, "-m", "modelsync", "serve"], given, start.work)

    command = (
        f"MODELSYNC_WORKERS={{workers}} MODELSYNC_LOG_LEVEL={'info' if log else 'warning'} "
        "modelsync serve"
    )
    return Contestant(
        key,
        name,
        settings or "defaults, access log off",
        launch,
        SHAPES["ready" if ready else "variables"],
        {model: f"/models/{model}" for model in VARIABLES},
        headers={"Authorization": f"Bearer {TOKEN}"} if auth else {},
        versions=PACKAGES,
        command=command,
    )


PLAIN = modelsync()
LOGGED = modelsync(
    "modelsync-log", "modelsync, access log on", log=True, settings="access log on, JSON to a file"
)
ALL_ON = "access log on, bearer token, /metrics scraped once in each run"
FULL = replace(
    modelsync(
        "modelsync-full", "modelsync, access log, auth and metrics", log=True, auth=True,
        settings=ALL_ON,
    ),
    scraped=True,
)  # fmt: skip
FULL_MYPYC = replace(
    modelsync(
        "modelsync-full-mypyc", "modelsync with mypyc, access log, auth and metrics", log=True,
        auth=True, settings=f"{ALL_ON}; its predict path is compiled by mypyc", mypyc=True,
    ),
    scraped=True,
)  # fmt: skip
SIGNED = modelsync(
    "modelsync-signature", "modelsync, validated signature", score=SIGNATURE,
    settings="`transform_predict(self, a: float, b: float)`",
)  # fmt: skip
READY = modelsync(
    "modelsync-ready",
    "modelsync, ready artefact",
    ready=True,
    settings="model.joblib alone, batched",
)
CROWD = modelsync(
    "modelsync-500",
    "modelsync, 500 models",
    copies=499,
    settings="one of 500 models in the release",
)
COMPILED = replace(
    modelsync(
        "modelsync-compiled", "modelsync, pipeline", ready=True,
        settings="a pickled pipeline alone, compiled after proof, batched",
        MODELSYNC_COMPILE_TIMEOUT=PATIENCE,
    ),
    compiled=True,
)  # fmt: skip
NOT_COMPILED = replace(
    modelsync(
        "modelsync-compile-off", "modelsync, pipeline, MODELSYNC_COMPILE=off", ready=True,
        settings="the same, served by scikit-learn, batched", MODELSYNC_COMPILE="off",
    ),
    compiled=False,
)  # fmt: skip
NOT_COMPILABLE = replace(
    modelsync(
        "modelsync-not-compilable", "modelsync, pipeline with a step of its own", ready=True,
        settings="a pickled pipeline with a transformer of the folder, which cannot be compiled",
        MODELSYNC_COMPILE_TIMEOUT=PATIENCE,
    ),
    compiled=False,
)  # fmt: skip
