"""What comes of compiling an entry of the corpus."""

from __future__ import annotations

import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from bench.compiled import corpus
from bench.compiled.tables import CorpusEntry
from modelsync.errors import ModelBroken
from modelsync.models.artefacts import estimators
from modelsync.models.compilation import Compilation
from modelsync.models.compiled import choice


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of an entry; `unfit`: why it does not fit the small table, and does not count."""

    entry: CorpusEntry
    compilation: Compilation | None = None
    unfit: str = ""
    seconds: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Whether it is compiled, which it is only if it is equal."""
        return self.compilation is not None and self.compilation.state == "compiled"


def attempt(entry: CorpusEntry) -> Attempt:
    """Fit and compile an entry, in one thread."""
    start = time.process_time()
    with warnings.catch_warnings(), threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        try:
            estimator = corpus.fitted(entry)
        except Exception as error:  # noqa: BLE001  # estimators raise anything
            return Attempt(entry, unfit=f"{type(error).__name__}: {error}")
        try:
            artefact = estimators.adapt(estimator, "model.pkl")
        except ModelBroken as error:
            return Attempt(entry, unfit=str(error))
        found = choice.choose(artefact, [], Path(folder) / "form")
    return Attempt(entry, found, seconds=time.process_time() - start)
