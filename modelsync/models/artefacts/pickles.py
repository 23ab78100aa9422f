"""Pickles, also of joblib, of objects with `predict` or `transform` as scikit-learn has them."""

from __future__ import annotations

import pickle
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.artefacts import pickle_content
from modelsync.models.artefacts.format import ArtefactFormat, LoadedArtefact
from modelsync.models.diagnosis import hide_paths
from modelsync.models.types import Fault


def load(path: Path) -> LoadedArtefact:
    """Unpickle an estimator."""
    from modelsync.models.artefacts import estimators

    try:
        loaded = _unpickle(path)
    except ModuleNotFoundError as error:
        _tell_of_versions(error, path)
        raise
    except _DAMAGED as error:
        _tell_of_versions(error, path)
        of_pickle = isinstance(error, EOFError | pickle.UnpicklingError)
        if pickle_content.look(path).holds != "none" and not of_pickle:
            raise
        message = f"is no pickle, or a damaged one: {_beginning(path) or _told(error)}"
        raise ModelBroken(Fault("load", message.rstrip(": "), path.name, hint=_DUMP)) from None
    except (ImportError, AttributeError) as error:
        # A class of a notebook: `__main__` is a program of ours here, shown by its own name.
        if "__main__" in str(error) or repr(sys.modules["__main__"]) in str(error):
            raise
        _tell_of_versions(error, path)
        hint = "list the versions of the libraries that wrote it in a requirements.txt beside it"
        message = f"needs a library of another version: {hide_paths(str(error))}"
        raise ModelBroken(Fault("load", message, path.name, hint=hint)) from None
    return estimators.adapt(loaded, path.name)


def _tell_of_versions(error: Exception, path: Path) -> None:
    """Raise ModelBroken if another version of scikit-learn has written the file, and that may be
    why it does not load.
    """
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else "sklearn"
    is_damaged = isinstance(error, EOFError | pickle.UnpicklingError)
    # A loss is pickled as of the module `_loss` by scikit-learn 1.4 to 1.8.
    if is_damaged or missing.partition(".")[0] not in ("sklearn", "_loss"):
        return
    then, now = pickle_content.scikit_learn(path), _installed("scikit-learn")
    if then and now and then != now:
        message = f"was fitted with scikit-learn {then}, and does not load with {now}"
        told = " ".join(_told(error).split())[:MAX_TOLD]
        raise ModelBroken(Fault("load", f"{message}: {told}", path.name, hint=_FIT_AGAIN)) from None


MAX_TOLD = 160
"""Characters of a library's own message."""

_FIT_AGAIN = "fit it again, or name that version in a requirements.txt beside it"


def _installed(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


_DAMAGED = (pickle.UnpicklingError, EOFError, KeyError, IndexError, ValueError)
"""What pickle and joblib raise for a file that is none of theirs."""

_DUMP = "write it again, with joblib.dump(model, file) or pickle.dump(model, file)"


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {hide_paths(str(error))}"


def _beginning(path: Path) -> str:
    """Return how a file begins that is text, such as the page of a login; empty if it is none."""
    with path.open("rb") as file:
        head = file.read(40).decode("ascii", "replace").partition("\n")[0].strip()
    return f"it begins with {head!r}" if len(head) > 3 and head.isprintable() else ""


def _unpickle(path: Path) -> Any:
    try:
        import joblib
    except ModuleNotFoundError:
        if path.suffix == ".joblib":
            raise
        return pickle.loads(path.read_bytes())
    # It reads plain pickles as well, and `joblib.dump` has written many a .pkl.
    return joblib.load(path)


_NAMES = re.compile(
    r".+\.(pkl|pickle|pckl?|pcl|pk|p|sav|joblib|jbl|jl|dill|cloudpickle)(\.(gz|bz2|xz|lzma|z|lz4))?",
    re.IGNORECASE,
)


def _begins(head: bytes) -> bool:
    """Return whether a file begins as pickles of protocol 2 to 5 do."""
    return len(head) > 2 and head[0] == 0x80 and head[1] in range(2, 6)


FORMAT = ArtefactFormat("pickle", _NAMES, load, _begins)
