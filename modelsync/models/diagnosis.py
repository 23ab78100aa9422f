"""Turns an exception of model code into a `Fault`: its place, its message and a hint."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Collection
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from modelsync.models.convention import ENVIRONMENT
from modelsync.models.isolation.model_package import ROOT
from modelsync.models.transient_errors import is_transient
from modelsync.models.types import Fault, FaultStage
from modelsync.observability.redaction import redacted
from modelsync.observability.tracebacks import UNPRINTABLE, message_of

MAX_MESSAGE = 500
"""Characters of a message: some libraries put whole arrays into theirs."""

# The names of packages on PyPI whose modules have another name.
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

# Packages whose modules have the same name. Any other name may be one, or code of the models.
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
    """Describe what a model's code raised.

    File and line are those of the innermost frame within the model's own folder.
    """
    file, line = _place(error, folder)
    kind = type(error).__name__
    message = plain(_text(error), folder)
    return Fault(
        stage,
        f"{kind}: {message}" if message else kind,
        file,
        line,
        _hint(error, folder),
        transient=is_transient(error),
    )


def plain(message: str, folder: Path) -> str:
    """Return a message as one short line without credentials and absolute paths.

    Clients read it as the reason of a 503. Paths within the model's folder become relative to it,
    others keep the name of the file.
    """
    message = redacted(message)
    message = hide_paths(message.replace(f"{folder.resolve()}/", ""), str(folder))
    message = re.sub(rf"{ROOT}\.(?:\w+\.)?", "", message)
    message = " ".join(message.split())
    message = message.encode("utf-8", "backslashreplace").decode()  # JSON holds no lone surrogates
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…"


def hide_paths(text: str, folder: str = "") -> str:
    """Shorten each absolute path to the file's name, or to the path within `folder`.

    Clients must not learn the layout of this machine's file system.
    """
    if folder:
        text = text.replace(f"{folder.rstrip('/')}/", "")
    return re.sub(r"(?<![\w.:/…<])/(?:[^\s/'\"():,]+/)+", "…/", text)


def _text(error: BaseException) -> str:
    try:
        text = (error.msg or "") if isinstance(error, SyntaxError) else message_of(error)
    except Exception:  # noqa: BLE001 - a class of the model's own
        return UNPRINTABLE
    if text.startswith("Can't get attribute "):
        # Here `__main__` is a program of modelsync, whose path the message would show.
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


# --- hints ----------------------------------------------------------------------------------------

REQUIREMENTS = (
    "requirements-models.txt beside run.sh, and run ./run.sh or build the image again; "
    "or list all that the model needs in a requirements.txt in its folder"
)
OF_ENVIRONMENT = "the requirements.txt or uv.lock that its environment is made of"


def _requirements() -> str:
    """Name the file that holds the libraries of this process."""
    return OF_ENVIRONMENT if Path(sys.prefix, ENVIRONMENT).is_file() else REQUIREMENTS


def beside(fault: Fault | None, names: Collection[str]) -> Fault | None:
    """Return the fault with another hint, if the missing module is one of `names` (`common/`,
    `shared.py`), which lie beside the models' folders.

    The hint for a library would lead people to install an unrelated package of that name.
    """
    if fault and (
        missing := re.search(r"ModuleNotFoundError: No module named '(\w+)", fault.message)
    ):
        for name in (f"{missing[1]}/", f"{missing[1]}.py"):
            if name in names:
                return replace(fault, hint=_outside_hint(name))
    return fault


def _outside_hint(name: str) -> str:
    return (
        f"{name} lies outside of the model's folder, whose code must be complete: copy it into the "
        "folder, or make it a package and put that into requirements-models.txt"
    )


def _hint(error: BaseException, folder: Path) -> str | None:
    """Return what the author of a model can do about an error, None if nothing is known."""
    text = _text(error)[:MAX_MESSAGE]
    match error:
        case ModuleNotFoundError() if error.name:
            return _missing_module_hint(error.name, folder)
        case ImportError() if found := re.search(r"pip or conda to install ([\w.-]+)", text):
            return f"add the line {found[1]} to {_requirements()}"
        case FileNotFoundError() if _is_in_folder(error.filename, folder):
            return (
                "open it with the path that __init__ gets, or relative to __file__: "
                "the working directory is another"
            )
        case AttributeError() if _OF_MAIN.match(text):
            return (
                "it was pickled from a notebook or script (__main__): put it into a module beside "
                "the model (helpers.py), import it from there and pickle again"
            )
    return None


def _missing_module_hint(module: str, folder: Path) -> str | None:
    top, *inner = module.split(".")
    if top == ROOT:
        # `from ..common import x` leaves the folder, `from .common import x` does not.
        return _outside_hint(inner[0]) if len(inner) == 1 else None
    if (folder / f"{top}.py").exists() or (folder / top).is_dir():
        pickles = "a pickle that refers to it must be loaded in __init__"
        return f"{top} is a module of this folder: {pickles}"
    return _requirement_hint(module)


_OF_MAIN = re.compile(
    r"Can't get attribute .* on <module '__(mp_)?main__'|module '__main__' has no attribute"
)


def _is_in_folder(name: object, folder: Path) -> bool:
    return isinstance(name, str) and not Path(name).is_absolute() and (folder / name).exists()


def _requirement_hint(module: str) -> str | None:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "google":  # which a dozen packages share
        return None
    package = DISTRIBUTIONS.get(top, top)
    if module != top and find_spec(top):
        version = f"pin the version you need in {_requirements()}"
        return f"the installed {package} has no {module}; {version}"
    if top in DISTRIBUTIONS or top in LIBRARIES:
        return f"add the line {package} to {_requirements()}"
    return (
        f"if {top} is a package from PyPI: add the line {top} to {_requirements()}; "
        "code of your own belongs into this folder"
    )
