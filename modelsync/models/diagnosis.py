"""From an exception of model code to a `Fault`: where it was, what it says, and what to do about
it.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Collection
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from modelsync.models.isolation.import_hooks import ROOT
from modelsync.models.types import Fault, FaultStage
from modelsync.observability.redaction import redacted

LONGEST = 500  # characters of a message; some libraries put whole arrays into theirs

# Where the name that is imported differs from the name that is installed.
DISTRIBUTIONS = {
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "pymupdf",
    "git": "gitpython",
    "igraph": "python-igraph",
    "imblearn": "imbalanced-learn",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "kafka": "kafka-python",
    "Levenshtein": "levenshtein",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "mysql": "mysql-connector-python",
    "pkg_resources": "setuptools",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "sentence_transformers": "sentence-transformers",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "snowflake": "snowflake-connector-python",
    "umap": "umap-learn",
    "usb": "pyusb",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}

# Of any other name nobody knows whether it is a package or code of the models' own.
LIBRARIES = {
    "catboost",
    "lightgbm",
    "onnxruntime",
    "polars",
    "prophet",
    "shap",
    "skops",
    "spacy",
    "statsmodels",
    "tensorflow",
    "torch",
    "transformers",
    "xgboost",
}


def from_exception(error: BaseException, folder: Path, stage: FaultStage) -> Fault:
    """Describe what a model's code raised; file and line are those of its innermost frame within
    its own folder.
    """
    file, line = _place(error, folder)
    kind = type(error).__name__
    message = plain(_text(error), folder)
    return Fault(stage, f"{kind}: {message}" if message else kind, file, line, _hint(error, folder))


def plain(message: str, folder: Path) -> str:
    """A message as one short line without credentials and the service's paths: clients read it as
    the reason of a 503.

    Paths within the model's folder become relative to it; of others the file's name stays.
    """
    message = redacted(message)
    message = hide_paths(message.replace(f"{folder.resolve()}/", ""), str(folder))
    message = re.sub(rf"{ROOT}\.(?:\w+\.)?", "", message)
    message = " ".join(message.split())
    message = message.encode("utf-8", "backslashreplace").decode()  # JSON holds no lone surrogates
    return message if len(message) <= LONGEST else f"{message[: LONGEST - 1]}…"


def hide_paths(text: str, folder: str = "") -> str:
    """Leave of each absolute path the file's name, or the path within `folder`: where things lie
    stays here.
    """
    if folder:
        text = text.replace(f"{folder.rstrip('/')}/", "")
    return re.sub(r"(?<![\w.:/…<])/(?:[^\s/'\"():,]+/)+", "…/", text)


def _text(error: BaseException) -> str:
    try:
        text = (error.msg or "") if isinstance(error, SyntaxError) else str(error)
    except Exception:  # noqa: BLE001 - a __str__ of the model's own
        return "(its message cannot be shown)"
    if text.startswith(
        "Can't get attribute "
    ):  # `__main__` is a program of ours here, and shown as that
        text = text.replace(repr(sys.modules["__main__"]), "<module '__main__'>")
    return text


def _place(error: BaseException, folder: Path) -> tuple[str | None, int | None]:
    folders = (folder, folder.resolve())
    places = [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 0))
    for name, line in reversed(places):
        for parent in folders:
            if Path(name).is_relative_to(parent):
                return str(Path(name).relative_to(parent)), line or None
    return None, None


# --- what to do about it --------------------------------------------------------------------------

WHERE = "the service's requirements.txt, not the repository's, and run ./run.sh or build the image again"


def beside(fault: Fault | None, names: Collection[str]) -> Fault | None:
    """The same fault, with other advice where the module that is missing is one of `names`
    (`common/`, `shared.py`).

    Whoever followed the advice for a library would install a stranger's package of that name.
    """
    if fault and (
        missing := re.search(r"ModuleNotFoundError: No module named '(\w+)", fault.message)
    ):
        for name in (f"{missing[1]}/", f"{missing[1]}.py"):
            if name in names:
                return replace(fault, hint=_outside(name))
    return fault


def _outside(name: str) -> str:
    return (
        f"{name} lies outside of the model's folder, whose code must be complete: copy it into the folder, or make it "
        "a package and put that into the service's requirements.txt"
    )


def _hint(error: BaseException, folder: Path) -> str | None:
    text = _text(error)[:LONGEST]
    if isinstance(error, ModuleNotFoundError) and error.name:
        top, *inner = error.name.split(".")
        if (
            top == ROOT
        ):  # `from ..common import x` leaves the folder, `from .common import x` does not
            return _outside(inner[0]) if len(inner) == 1 else None
        if (folder / f"{top}.py").exists() or (folder / top).is_dir():
            return f"{top} is a module of this folder: a pickle that refers to it must be loaded in __init__"
        return _requirement(error.name)
    if isinstance(error, ImportError) and (
        found := re.search(r"pip or conda to install ([\w.-]+)", text)
    ):
        return f"add the line {found[1]} to {WHERE}"
    if isinstance(error, FileNotFoundError) and _is_here(error.filename, folder):
        return "open it with the path that __init__ gets, or relative to __file__: the working directory is another"
    if isinstance(error, AttributeError) and _OF_MAIN.match(text):
        return (
            "it was pickled from a notebook or script (__main__): put it into a module beside the model (helpers.py), "
            "import it from there and pickle again"
        )
    return None


_OF_MAIN = re.compile(
    r"Can't get attribute .* on <module '__(mp_)?main__'|module '__main__' has no attribute"
)


def _is_here(name: object, folder: Path) -> bool:
    return isinstance(name, str) and not Path(name).is_absolute() and (folder / name).exists()


def _requirement(module: str) -> str | None:
    top = module.partition(".")[0]
    if (
        top in sys.stdlib_module_names or top == "google"
    ):  # google: a dozen packages share that name
        return None
    package = DISTRIBUTIONS.get(top, top)
    if module != top and find_spec(top):
        return f"the installed {package} has no {module}; pin the version you need in {WHERE}"
    if top in DISTRIBUTIONS or top in LIBRARIES:
        return f"add the line {package} to {WHERE}"
    return f"if {top} is a package from PyPI: add the line {top} to {WHERE}; code of your own belongs into this folder"
