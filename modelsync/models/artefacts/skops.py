"""skops files: estimators as in pickles, but without the power to run code."""

from __future__ import annotations

import re
from pathlib import Path

from modelsync.errors import ModelBroken
from modelsync.models.artefacts.format import ArtefactFormat, LoadedArtefact
from modelsync.models.convention import FILE
from modelsync.models.types import Fault


def load(path: Path) -> LoadedArtefact:
    """Read an estimator. Raises ModelBroken if it holds types that skops does not trust."""
    import skops.io

    from modelsync.models.artefacts import estimators

    if untrusted := skops.io.get_untrusted_types(file=path):
        message = f"holds types that skops does not trust: {', '.join(untrusted)}"
        call = f"skops.io.load(path + {path.name!r}, trusted=[...])"
        hint = f"if you trust them, add an {FILE} with {call}"
        raise ModelBroken(Fault("load", message, path.name, hint=hint))
    return estimators.adapt(skops.io.load(path, trusted=[]), path.name)


FORMAT = ArtefactFormat("skops", re.compile(r".+\.skops"), load)
